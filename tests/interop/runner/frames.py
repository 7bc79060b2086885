"""QUIC frames (RFC 9000 §19) as tuples: a name, then what the checks need of it."""


class Malformed(Exception):
    """A packet's payload is no sequence of frames."""


class Reader:
    """Reads bytes from the front."""

    def __init__(self, data, offset=0):
        self.data, self.offset = data, offset

    @property
    def left(self):
        return len(self.data) - self.offset

    def take(self, length):
        if length > self.left:
            raise Malformed("a field is longer than what there is")
        self.offset += length
        return self.data[self.offset - length : self.offset]

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def varint(self):
        first = self.number(1)
        length = 1 << (first >> 6)
        return (first & 0x3F) << (8 * (length - 1)) | self.number(length - 1)


def parse(payload):
    """All frames of a packet."""
    reader, frames = Reader(payload), []
    while reader.left:
        frame = one(reader)
        if frame is not None:
            frames.append(frame)
    return frames


def one(reader):
    ty = reader.varint()
    if ty == 0x00:
        return None
    if ty in (0x02, 0x03):
        return ack(reader, ty == 0x03)
    if 0x08 <= ty <= 0x0F:
        return stream(reader, ty)
    if ty in READERS:
        name, read = READERS[ty]
        return (name, *read(reader))
    raise Malformed(f"frame type {ty:#x}")


def ack(reader, with_ecn):
    largest, _delay, count, first = (reader.varint() for _ in range(4))
    ranges, low = [(largest - first, largest)], largest - first
    for _ in range(count):
        high = low - reader.varint() - 2
        low = high - reader.varint()
        ranges.append((low, high))
    counts = tuple(reader.varint() for _ in range(3)) if with_ecn else None
    return ("ACK_ECN" if with_ecn else "ACK", ranges, counts)


def stream(reader, ty):
    stream_id = reader.varint()
    offset = reader.varint() if ty & 4 else 0
    length = reader.varint() if ty & 2 else reader.left
    reader.take(length)
    return ("STREAM", stream_id, offset, length, bool(ty & 1))


def crypto(reader):
    offset = reader.varint()
    return offset, reader.take(reader.varint())


def new_connection_id(reader):
    sequence, retire = reader.varint(), reader.varint()
    connection_id = reader.take(reader.number(1))
    reader.take(16)
    return sequence, retire, connection_id


def close(reader):
    code, frame = reader.varint(), reader.varint()
    return code, frame, reader.take(reader.varint())


def application_close(reader):
    code = reader.varint()
    return code, None, reader.take(reader.varint())


def varints(count):
    return lambda reader: tuple(reader.varint() for _ in range(count))


READERS = {
    0x01: ("PING", lambda _: ()),
    0x04: ("RESET_STREAM", varints(3)),
    0x05: ("STOP_SENDING", varints(2)),
    0x06: ("CRYPTO", crypto),
    0x07: ("NEW_TOKEN", lambda reader: (reader.take(reader.varint()),)),
    0x10: ("MAX_DATA", varints(1)),
    0x11: ("MAX_STREAM_DATA", varints(2)),
    0x12: ("MAX_STREAMS_BIDI", varints(1)),
    0x13: ("MAX_STREAMS_UNI", varints(1)),
    0x14: ("DATA_BLOCKED", varints(1)),
    0x15: ("STREAM_DATA_BLOCKED", varints(2)),
    0x16: ("STREAMS_BLOCKED_BIDI", varints(1)),
    0x17: ("STREAMS_BLOCKED_UNI", varints(1)),
    0x18: ("NEW_CONNECTION_ID", new_connection_id),
    0x19: ("RETIRE_CONNECTION_ID", varints(1)),
    0x1A: ("PATH_CHALLENGE", lambda reader: (reader.take(8),)),
    0x1B: ("PATH_RESPONSE", lambda reader: (reader.take(8),)),
    0x1C: ("CONNECTION_CLOSE", close),
    0x1D: ("APPLICATION_CLOSE", application_close),
    0x1E: ("HANDSHAKE_DONE", lambda _: ()),
    0x1F: ("IMMEDIATE_ACK", lambda _: ()),
    0x24: ("RESET_STREAM_AT", varints(4)),
    0x30: ("DATAGRAM", lambda reader: (reader.take(reader.left),)),
    0x31: ("DATAGRAM", lambda reader: (reader.take(reader.varint()),)),
    0xAF: ("ACK_FREQUENCY", varints(4)),
}
