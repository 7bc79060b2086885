"""A capture read as QUIC: datagrams split into packets, packets opened with the key log's
secrets. `Trace` is made from one side's capture."""

from dataclasses import dataclass, field

from . import frames, pcap, tls
from .frames import Malformed, Reader
from .protection import (
    AES_128,
    AES_256,
    CHACHA,
    HASHES,
    SALTS,
    TAG,
    V2,
    Keys,
    full_number,
    initial_secrets,
)

INITIAL, ZERO_RTT, HANDSHAKE, RETRY, ONE_RTT, NEGOTIATION = (
    "Initial",
    "0-RTT",
    "Handshake",
    "Retry",
    "1-RTT",
    "Version Negotiation",
)
LONG_V1 = [INITIAL, ZERO_RTT, HANDSHAKE, RETRY]
LONG_V2 = [RETRY, INITIAL, ZERO_RTT, HANDSHAKE]
SECRETS = {
    (HANDSHAKE, False): "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    (HANDSHAKE, True): "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    (ONE_RTT, False): "CLIENT_TRAFFIC_SECRET_0",
    (ONE_RTT, True): "SERVER_TRAFFIC_SECRET_0",
    (ZERO_RTT, False): "CLIENT_EARLY_TRAFFIC_SECRET",
}

PREFERRED_ADDRESS = 0x0D


@dataclass
class Packet:
    """One packet. `frames` is None if it could not be opened."""

    kind: str
    datagram: pcap.Datagram
    destination: bytes
    source: bytes = b""
    version: int = 0
    token: bytes = b""
    # Bytes of protected payload, its tag included.
    size: int = 0
    number: int = -1
    key_phase: int = 0
    frames: list = None
    connection: object = None

    @property
    def from_server(self):
        return self.datagram.from_server

    def has(self, name):
        return any(frame[0] == name for frame in self.frames or ())

    def all(self, name):
        return [frame for frame in self.frames or () if frame[0] == name]


@dataclass
class Connection:
    """What is known of one connection. Directions are False for the client's packets."""

    version: int
    # The destinations that Initial keys were made of: the first Initial's, and a Retry's source.
    initial_ids: list
    client_address: tuple
    random: bytes = None
    suite: int = None
    crypto: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    largest: dict = field(default_factory=dict)

    def pieces(self, from_server, kind):
        return self.crypto.setdefault((from_server, kind), [])

    def messages(self, from_server, kind):
        return tls.messages(self.pieces(from_server, kind))


class Trace:
    """All packets of a capture, in order."""

    def __init__(self, path, secrets):
        self.secrets = secrets
        self.connections, self.packets = [], []
        # Connection IDs by who receives under them: True for the server's.
        self.ids = {True: {}, False: {}}
        self.by_address = {}
        self.datagrams = list(pcap.datagrams(path))
        for datagram in self.datagrams:
            try:
                self.read(datagram)
            except Malformed:
                continue  # corrupted on its way, or not QUIC

    def of(self, kind, from_server=None):
        return [
            packet
            for packet in self.packets
            if packet.kind == kind and from_server in (None, packet.from_server)
        ]

    def sent(self, from_server):
        return [packet for packet in self.packets if packet.from_server == from_server]

    def read(self, datagram):
        reader = Reader(datagram.payload)
        while reader.left:
            start = reader.offset
            first = reader.data[start]
            if first & 0x80:
                packet = self.long(datagram, reader)
            elif first & 0x40 or start == 0:
                packet = self.short(datagram, reader)
            else:
                return  # zeros after the last packet
            if packet is None:
                return
            self.packets.append(packet)

    def long(self, datagram, reader):
        start = reader.offset
        first, version = reader.number(1), reader.number(4)
        destination = reader.take(reader.number(1))
        source = reader.take(reader.number(1))
        if version == 0:
            reader.take(reader.left)
            return Packet(NEGOTIATION, datagram, destination, source)
        if version not in SALTS:
            return None
        kind = (LONG_V2 if version == V2 else LONG_V1)[first >> 4 & 3]
        packet = Packet(kind, datagram, destination, source, version)
        if kind == RETRY:
            packet.token = reader.take(reader.left)[:-TAG]
            connection = packet.connection = self.find(packet)
            if connection is not None and source not in connection.initial_ids:
                connection.initial_ids.append(source)
                self.ids[True][source] = connection
                # Some clients make another ClientHello then (against RFC 9000 §17.2.5.3).
                connection.pieces(False, INITIAL).clear()
            return packet
        if kind == INITIAL:
            packet.token = reader.take(reader.varint())
        length = reader.varint()
        number_at = reader.offset
        reader.take(length)
        self.open(packet, reader.data, start, number_at, number_at + length)
        return packet

    def short(self, datagram, reader):
        start, data = reader.offset, reader.data
        to_server = not datagram.from_server
        length, connection = self.route_short(datagram, data, start, to_server)
        if connection is None:
            return None
        packet = Packet(ONE_RTT, datagram, data[start + 1 : start + 1 + length])
        packet.version, packet.connection = connection.version, connection
        reader.take(reader.left)
        self.open(packet, data, start, start + 1 + length, len(data))
        return packet

    def route_short(self, datagram, data, start, to_server):
        """The length of a short header's connection ID, and the connection."""
        known = self.ids[to_server]
        for length in sorted({len(known_id) for known_id in known}, reverse=True):
            connection = known.get(data[start + 1 : start + 1 + length])
            if length and connection is not None:
                return length, connection
        client = datagram.source if to_server else datagram.destination
        # A NAT may have moved a client that has no connection IDs.
        only = self.connections[0] if len(self.connections) == 1 else None
        return 0, self.by_address.get(client, only)

    def find(self, packet):
        """The connection of a long header's packet; a client's Initial may begin one."""
        to_server = not packet.from_server
        connection = self.ids[to_server].get(packet.destination) if packet.destination else None
        datagram = packet.datagram
        client = datagram.source if to_server else datagram.destination
        if connection is None and not packet.destination:
            connection = self.by_address.get(client)
        if connection is None and to_server and packet.kind == INITIAL:
            connection = Connection(packet.version, [packet.destination], client)
            self.connections.append(connection)
            self.ids[True][packet.destination] = connection
            self.by_address[client] = connection
        return connection

    def open(self, packet, data, start, number_at, end):
        """Takes the protection off and reads the frames, as far as there are keys for it."""
        packet.size = end - number_at
        connection = packet.connection = packet.connection or self.find(packet)
        sample = data[number_at + 4 : number_at + 20]
        if connection is None or len(sample) < 16:
            return
        for keys in self.keys_for(connection, packet):
            opened = self.try_keys(packet, keys, data, start, number_at, end, sample)
            if opened is not None:
                self.learn(packet, keys, opened)
                return

    def try_keys(self, packet, keys, data, start, number_at, end, sample):
        mask = keys.mask(sample)
        first = data[start] ^ (mask[0] & (0x1F if packet.kind == ONE_RTT else 0x0F))
        length = (first & 3) + 1
        number_end = number_at + length
        truncated = bytes(a ^ b for a, b in zip(data[number_at:number_end], mask[1:], strict=False))
        space = ONE_RTT if packet.kind == ZERO_RTT else packet.kind
        largest = packet.connection.largest.get((packet.from_server, space), -1)
        packet.number = full_number(int.from_bytes(truncated, "big"), length, largest)
        header = bytes([first]) + data[start + 1 : number_at] + truncated
        packet.size = end - number_end
        packet.key_phase = first >> 2 & 1 if packet.kind == ONE_RTT else 0
        payload = keys.open(packet.number, header, data[number_end:end])
        return None if payload is None else (payload, space)

    def keys_for(self, connection, packet):
        """The keys that may open a packet, the likeliest first."""
        slot = (packet.from_server, packet.kind, packet.version)
        if packet.kind == INITIAL:
            for destination in reversed(connection.initial_ids):
                yield self.initial_keys(connection, slot, destination)
            return
        known = connection.keys.get(slot) or self.logged_keys(connection, packet)
        if known:
            connection.keys[slot] = known
        # An update's keys come after those before it; packets may be reordered around it.
        yield from reversed(known[-2:])
        if packet.kind == ONE_RTT and len({keys.suite for keys in known}) == 1:
            yield known[-1].next()
        if len(known) > 2:
            yield from known[:-2]

    def initial_keys(self, connection, slot, destination):
        key = (slot, destination)
        if key not in connection.keys:
            secrets = initial_secrets(slot[2], destination)
            connection.keys[key] = Keys(secrets[slot[0]], AES_128, slot[2])
        return connection.keys[key]

    def logged_keys(self, connection, packet):
        label = SECRETS.get((packet.kind, packet.from_server))
        secret = self.secrets.get(connection.random, {}).get(label)
        if secret is None:
            return []
        suites = [connection.suite] if connection.suite else [AES_128, AES_256, CHACHA]
        fitting = [suite for suite in suites if HASHES[suite]().digest_size == len(secret)]
        return [Keys(secret, suite, packet.version) for suite in fitting]

    def learn(self, packet, keys, opened):
        """What an opened packet tells about its connection."""
        payload, space = opened
        connection, from_server = packet.connection, packet.from_server
        slot = (from_server, space)
        connection.largest[slot] = max(connection.largest.get(slot, -1), packet.number)
        if packet.kind == ONE_RTT:
            known = connection.keys[(from_server, ONE_RTT, packet.version)]
            if not any(keys.secret == other.secret for other in known):
                known.append(keys)
        elif packet.kind != INITIAL:
            connection.keys[(from_server, packet.kind, packet.version)] = [keys]
        packet.frames = frames.parse(payload)
        if packet.source:
            self.ids[from_server][packet.source] = connection
        if packet.kind in (INITIAL, HANDSHAKE):
            connection.version = packet.version
        for frame in packet.frames:
            if frame[0] == "NEW_CONNECTION_ID":
                self.ids[from_server][frame[3]] = connection
            elif frame[0] == "CRYPTO" and packet.kind != ONE_RTT:
                connection.pieces(from_server, packet.kind).append(frame[1:])
        if packet.kind == INITIAL and packet.has("CRYPTO"):
            self.read_hello(connection, from_server)
        elif packet.kind == HANDSHAKE and from_server and packet.has("CRYPTO"):
            self.read_parameters(connection)

    def read_hello(self, connection, from_server):
        for ty, body in connection.messages(from_server, INITIAL):
            if ty == tls.CLIENT_HELLO and not from_server:
                connection.random = tls.client_hello(body)[0]
            elif ty == tls.SERVER_HELLO and from_server:
                connection.suite = tls.server_suite(body)

    def read_parameters(self, connection):
        """The connection ID that belongs to a preferred address (RFC 9000 §18.2)."""
        for ty, body in connection.messages(True, HANDSHAKE):
            if ty == tls.ENCRYPTED_EXTENSIONS:
                preferred = tls.transport_parameters(body).get(PREFERRED_ADDRESS)
                if preferred:
                    reader = Reader(preferred[4 + 2 + 16 + 2 :])
                    self.ids[True][reader.take(reader.number(1))] = connection
