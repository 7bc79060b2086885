#!/usr/bin/env python3
"""Our QPACK encoder decoded by pylsqpack (ls-qpack), and the reverse.

usage: qpack_pylsqpack.py QPACK_OFFLINE_DECODER
Header lists from a seed, capacities 0, 256 and 4096, 0 and 100 blocked streams. A line for each
combination; ends with status 0 only if all lists are equal.
"""

import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pylsqpack


def header_lists(seed):
    """Lists with fields that come again and fields that do not."""
    draw = random.Random(seed)
    agents = [f"agent/{n}" for n in range(3)]
    for number in range(300):
        fields = [(":method", draw.choice(["GET", "POST"])), (":scheme", "https")]
        fields += [(":authority", "example.org"), (":path", f"/{draw.randrange(50)}")]
        fields += [("user-agent", draw.choice(agents)), ("x-number", str(number))]
        for _ in range(draw.randrange(6)):
            fields.append((f"x-{draw.randrange(20)}", "v" * draw.randrange(60)))
        yield [(name.encode(), value.encode()) for name, value in fields]


def records(data):
    """Stream and bytes of every record."""
    at = 0
    while at < len(data):
        stream, length = struct.unpack_from(">QI", data, at)
        yield stream, data[at + 12 : at + 12 + length]
        at += 12 + length


def decode_with_pylsqpack(data, capacity, blocked):
    """The header lists of an encoded file."""
    decoder = pylsqpack.Decoder(capacity, blocked)
    lists = {}
    for stream, chunk in records(data):
        if stream == 0:
            for ready in decoder.feed_encoder(chunk):
                lists[ready] = decoder.resume_header(ready)[1]
        else:
            try:
                lists[stream] = decoder.feed_header(stream, chunk)[1]
            except pylsqpack.StreamBlocked:
                pass
    return [lists[stream] for stream in sorted(lists)]


def encode_with_pylsqpack(lists, capacity, blocked):
    """An encoded file."""
    encoder = pylsqpack.Encoder()
    setup = encoder.apply_settings(capacity, blocked)
    out = struct.pack(">QI", 0, len(setup)) + setup if setup else b""
    decoder = pylsqpack.Decoder(capacity, blocked)
    decoder.feed_encoder(setup)
    for stream, fields in enumerate(lists, 1):
        inserts, section = encoder.encode(stream, fields)
        if inserts:
            out += struct.pack(">QI", 0, len(inserts)) + inserts
            decoder.feed_encoder(inserts)
        out += struct.pack(">QI", stream, len(section)) + section
        encoder.feed_decoder(decoder.feed_header(stream, section)[0])
    return out


def main():
    """Every combination, both ways."""
    tool = sys.argv[1]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for capacity in (0, 256, 4096):
            for blocked in (0, 100):
                for ack in (0, 1):
                    lists = list(header_lists(capacity + blocked + ack))
                    qif = Path(folder, "lists.qif")
                    qif.write_bytes(
                        b"\n\n".join(b"\n".join(n + b"\t" + v for n, v in one) for one in lists)
                    )
                    ours = Path(folder, f"ours.out.{capacity}.{blocked}.{ack}")
                    subprocess.run([tool, "--encode", ours, qif], check=True)
                    forth = decode_with_pylsqpack(ours.read_bytes(), capacity, blocked) == lists
                    theirs = Path(folder, f"theirs.out.{capacity}.{blocked}.{ack}")
                    theirs.write_bytes(encode_with_pylsqpack(lists, capacity, blocked))
                    back = subprocess.run([tool, theirs, qif], check=False).returncode == 0
                    failed += (not forth) + (not back)
                    print(
                        f"capacity {capacity:4} blocked {blocked:3} ack {ack}: "
                        f"ours by pylsqpack {'equal' if forth else 'DIFFERENT'} "
                        f"({ours.stat().st_size} bytes), "
                        f"pylsqpack's by ours {'equal' if back else 'DIFFERENT'} "
                        f"({theirs.stat().st_size} bytes)"
                    )
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
