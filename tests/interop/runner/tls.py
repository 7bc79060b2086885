"""What the checks need of TLS: the key log, hellos, and which messages were sent in the clear of
their level."""

from .frames import Malformed, Reader

CLIENT_HELLO, SERVER_HELLO, CERTIFICATE = 1, 2, 11
ENCRYPTED_EXTENSIONS = 8
TRANSPORT_PARAMETERS = 0x39


def key_log(paths):
    """The secrets of all these files, by client random and label."""
    secrets = {}
    for path in paths:
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            words = line.split()
            if len(words) == 3 and not line.startswith("#"):
                try:
                    random, secret = bytes.fromhex(words[1]), bytes.fromhex(words[2])
                except ValueError:
                    continue
                secrets.setdefault(random, {})[words[0]] = secret
    return secrets


def messages(pieces):
    """The whole messages, as (type, body), of CRYPTO pieces by offset."""
    data = assemble(pieces)
    found, offset = [], 0
    while offset + 4 <= len(data):
        length = int.from_bytes(data[offset + 1 : offset + 4], "big")
        if offset + 4 + length > len(data):
            break
        found.append((data[offset], data[offset + 4 : offset + 4 + length]))
        offset += 4 + length
    return found


def assemble(pieces):
    """What is there from the start without a gap."""
    data = b""
    for offset, piece in sorted(pieces, key=lambda piece: piece[0]):
        if offset > len(data):
            break
        if offset + len(piece) > len(data):
            data = data[:offset] + piece
    return data


def client_hello(body):
    """(random, cipher suites)."""
    reader = Reader(body)
    reader.take(2)
    random = reader.take(32)
    reader.take(reader.number(1))
    suites = Reader(reader.take(reader.number(2)))
    return random, [suites.number(2) for _ in range(suites.left // 2)]


def server_suite(body):
    """The cipher suite of a ServerHello."""
    reader = Reader(body)
    reader.take(34)
    reader.take(reader.number(1))
    return reader.number(2)


def transport_parameters(encrypted_extensions):
    """A server's transport parameters by their IDs, from its EncryptedExtensions."""
    extensions = Reader(encrypted_extensions)
    extensions = Reader(extensions.take(extensions.number(2)))
    while extensions.left:
        ty = extensions.number(2)
        body = extensions.take(extensions.number(2))
        if ty == TRANSPORT_PARAMETERS:
            parameters, reader = {}, Reader(body)
            while reader.left:
                key = reader.varint()
                parameters[key] = reader.take(reader.varint())
            return parameters
    raise Malformed("no transport parameters")
