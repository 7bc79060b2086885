"""An HTTP/3 client of aioquic: URLs of one origin, all on one connection, all at once.

Bodies go to standard output or `--output`; ends with status 0 only if every response was a
success and came whole.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from urllib.parse import urlsplit

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import ConnectionTerminated, StreamReset

from aioquic_common import address, configuration


class Response:
    """What has come of one response."""

    def __init__(self):
        self.headers = {}
        self.body = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def check(self):
        """The body, if the response is a success and whole."""
        status = self.headers.get(b":status", b"none").decode()
        if not status.startswith("2"):
            raise RuntimeError(f"status {status}")
        length = self.headers.get(b"content-length")
        if length is not None and int(length) != len(self.body):
            raise RuntimeError(f"{len(self.body)} bytes came of {int(length)}")
        return bytes(self.body)


class Http3Client(QuicConnectionProtocol):
    """One connection with its open requests."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.responses = {}

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.fail(self.responses.values(), f"closed: {event.error_code} {event.reason_phrase}")
        if isinstance(event, StreamReset) and event.stream_id in self.responses:
            self.fail([self.responses[event.stream_id]], f"reset: {event.error_code}")
        for http_event in self.http.handle_event(event):
            response = self.responses.get(getattr(http_event, "stream_id", None))
            if response is None:
                continue
            if isinstance(http_event, HeadersReceived):
                response.headers = {**dict(http_event.headers), **response.headers}
            elif isinstance(http_event, DataReceived):
                response.body += http_event.data
            if http_event.stream_ended and not response.done.done():
                response.done.set_result(None)

    @staticmethod
    def fail(responses, why):
        for response in responses:
            if not response.done.done():
                response.done.set_exception(RuntimeError(why))

    async def fetch(self, url, body):
        """The body of the response to one request; raises if there is none."""
        stream = self._quic.get_next_available_stream_id()
        response = self.responses[stream] = Response()
        path = url.path or "/"
        headers = [
            (b":method", b"GET" if body is None else b"POST"),
            (b":scheme", b"https"),
            (b":authority", url.netloc.encode()),
            (b":path", (f"{path}?{url.query}" if url.query else path).encode()),
        ]
        if body is not None:
            headers.append((b"content-length", str(len(body)).encode()))
        self.http.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await response.done
        return response.check()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--connect", help="ADDR:PORT instead of the URL's")
    parser.add_argument("--body-file")
    parser.add_argument("--output", help="a file, or with several URLs a directory")
    parser.add_argument("urls", nargs="+", type=urlsplit)
    args = parser.parse_args()

    settings = configuration(is_client=True)
    settings.load_verify_locations(args.ca)
    settings.server_name = args.urls[0].hostname
    to = address(args.connect) if args.connect else (args.urls[0].hostname, args.urls[0].port)
    body = Path(args.body_file).read_bytes() if args.body_file else None

    async with connect(*to, configuration=settings, create_protocol=Http3Client) as client:
        bodies = await asyncio.gather(*(client.fetch(url, body) for url in args.urls))

    if args.output is None:
        for body in bodies:
            sys.stdout.buffer.write(body)
    elif len(bodies) == 1:
        Path(args.output).write_bytes(bodies[0])
    else:
        Path(args.output).mkdir(parents=True, exist_ok=True)
        for number, body in enumerate(bodies):
            (Path(args.output) / str(number)).write_bytes(body)


asyncio.run(main())
