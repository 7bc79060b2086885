"""Packet protection (RFC 9001 §5, RFC 9369 §3.3), for reading captures. Written from the RFCs and
on its own, so that a fault of protoquic's is not repeated here."""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

V1, V2 = 0x00000001, 0x6B3343CF
SALTS = {
    V1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    V2: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
}
LABELS = {V1: b"quic", V2: b"quicv2"}
TAG = 16

AES_128, AES_256, CHACHA = 0x1301, 0x1302, 0x1303
KEY_LENGTHS = {AES_128: 16, AES_256: 32, CHACHA: 32}
HASHES = {AES_128: hashlib.sha256, AES_256: hashlib.sha384, CHACHA: hashlib.sha256}


def expand_label(secret, label, length, hash_):
    """HKDF-Expand-Label (RFC 8446 §7.1) with no context."""
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(secret, block + info + bytes([counter]), hash_).digest()
        out += block
        counter += 1
    return out[:length]


def initial_secrets(version, destination):
    """The Initial secrets of client and server (RFC 9001 §5.2)."""
    initial = hmac.new(SALTS[version], destination, hashlib.sha256).digest()
    return tuple(
        expand_label(initial, label, 32, hashlib.sha256) for label in (b"client in", b"server in")
    )


class Keys:
    """The keys of one secret: of one direction, level and key phase."""

    def __init__(self, secret, suite, version, hp=None):
        self.secret, self.suite, self.version = secret, suite, version
        self.hash, label = HASHES[suite], LABELS[version]
        key = expand_label(secret, label + b" key", KEY_LENGTHS[suite], self.hash)
        self.iv = int.from_bytes(expand_label(secret, label + b" iv", 12, self.hash), "big")
        self.aead = ChaCha20Poly1305(key) if suite == CHACHA else AESGCM(key)
        # RFC 9001 §6: a key update leaves header protection as it is.
        self.hp = hp or expand_label(secret, label + b" hp", KEY_LENGTHS[suite], self.hash)

    def next(self):
        """The keys after a key update."""
        label = LABELS[self.version] + b" ku"
        secret = expand_label(self.secret, label, self.hash().digest_size, self.hash)
        return Keys(secret, self.suite, self.version, self.hp)

    def mask(self, sample):
        """The header protection's mask (RFC 9001 §5.4)."""
        if self.suite == CHACHA:
            stream = Cipher(algorithms.ChaCha20(self.hp, sample), None).encryptor()
            return stream.update(bytes(5))
        return Cipher(algorithms.AES(self.hp), modes.ECB()).encryptor().update(sample)[:5]

    def open(self, number, header, sealed):
        """The payload, or None if it is not authentic."""
        nonce = (self.iv ^ number).to_bytes(12, "big")
        try:
            return self.aead.decrypt(nonce, bytes(sealed), bytes(header))
        except InvalidTag:
            return None


def full_number(truncated, length, largest):
    """A packet's number from what it carries of it (RFC 9000 §A.3)."""
    expected, window = largest + 1, 1 << (8 * length)
    candidate = (expected & ~(window - 1)) | truncated
    if candidate <= expected - window // 2 and candidate < (1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate
