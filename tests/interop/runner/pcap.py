"""Captures of IP packets: pcap files of link type 101 (raw IP), written and read."""

import struct
import time
from dataclasses import dataclass

from . import ip

MAGIC, RAW_IP = 0xA1B2C3D4, 101


class Writer:
    """Writes a capture; what is buffered is lost unless closed."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, 65535, RAW_IP))

    def write(self, packet):
        seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
        length = len(packet)
        self.file.write(struct.pack("<IIII", seconds, nanos // 1000, length, length) + packet)

    def close(self):
        self.file.close()


@dataclass
class Datagram:
    """A UDP datagram of a capture. An address is (packed IP, port)."""

    time: float
    source: tuple
    destination: tuple
    ecn: int
    payload: bytes

    @property
    def from_server(self):
        return self.source[0] in SERVERS


SERVERS = (ip.SERVER_4, ip.packed("fd00:cafe:cafe:100::100"))


def datagrams(path):
    """The UDP datagrams of a capture, to and from the server only."""
    data = open(path, "rb").read()
    offset = 24
    while offset + 16 <= len(data):
        seconds, micros, length, _ = struct.unpack_from("<IIII", data, offset)
        packet = data[offset + 16 : offset + 16 + length]
        offset += 16 + length
        if not ip.is_udp(packet):
            continue
        source = (ip.source(packet), ip.source_port(packet))
        destination = (ip.destination(packet), ip.destination_port(packet))
        if source[0] in SERVERS or destination[0] in SERVERS:
            payload = packet[ip.payload_offset(packet) :]
            yield Datagram(seconds + micros / 1e6, source, destination, ip.ecn(packet), payload)
