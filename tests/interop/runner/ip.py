"""IP packets as bytes: their addresses and ports, changed and with right checksums."""

import ipaddress
import struct

UDP = 17


def packed(text):
    return ipaddress.ip_address(text).packed


CLIENT_4, SERVER_4 = packed("193.167.0.100"), packed("193.167.100.100")


def is_v4(packet):
    return packet[0] >> 4 == 4


def transport_offset(packet):
    return (packet[0] & 15) * 4 if is_v4(packet) else 40


def payload_offset(packet):
    """Where a UDP packet's payload begins."""
    return transport_offset(packet) + 8


def is_udp(packet):
    return packet[9 if is_v4(packet) else 6] == UDP


def ecn(packet):
    """The two ECN bits."""
    return packet[1] & 3 if is_v4(packet) else packet[1] >> 4 & 3


def source(packet):
    return bytes(packet[12:16]) if is_v4(packet) else bytes(packet[8:24])


def destination(packet):
    return bytes(packet[16:20]) if is_v4(packet) else bytes(packet[24:40])


def is_from(packet, address):
    return is_v4(packet) and source(packet) == address


def source_port(packet):
    return struct.unpack_from("!H", packet, transport_offset(packet))[0]


def destination_port(packet):
    return struct.unpack_from("!H", packet, transport_offset(packet) + 2)[0]


def from_address(packet, address, port):
    """The IPv4 packet with another source."""
    changed = bytearray(packet)
    changed[12:16] = address
    struct.pack_into("!H", changed, transport_offset(packet), port)
    return with_checksums(changed)


def to_address(packet, address, port):
    """The IPv4 packet with another destination."""
    changed = bytearray(packet)
    changed[16:20] = address
    struct.pack_into("!H", changed, transport_offset(packet) + 2, port)
    return with_checksums(changed)


def checksum(data):
    """The Internet's checksum (RFC 1071)."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def with_checksums(packet):
    """A UDP packet with right checksums, of its header and of its datagram."""
    packet = bytearray(packet)
    start = transport_offset(packet)
    if is_v4(packet):
        struct.pack_into("!H", packet, 10, 0)
        struct.pack_into("!H", packet, 10, checksum(packet[:start]))
    struct.pack_into("!H", packet, start + 6, 0)
    length = struct.unpack_from("!H", packet, start + 4)[0]
    pseudo = source(packet) + destination(packet) + struct.pack("!HH", UDP, length)
    found = checksum(pseudo + packet[start : start + length])
    struct.pack_into("!H", packet, start + 6, found or 0xFFFF)
    return bytes(packet)
