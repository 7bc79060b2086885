"""An HTTP/3 server of aioquic: files of a directory, `GET /N`, `POST /echo`.

Prints `listening on ADDR:PORT` when it is ready; runs until it is ended.
"""

import argparse
import asyncio
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import ProtocolNegotiated

from aioquic_common import address, configuration

PATTERN = bytes(range(256))


class Http3Server(QuicConnectionProtocol):
    """One connection. A request is answered when its headers are there; an echo as it comes."""

    www = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None
        self.echoing = set()

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        if self.http is None:
            return
        for http_event in self.http.handle_event(event):
            if isinstance(http_event, HeadersReceived):
                self.request(http_event)
            elif isinstance(http_event, DataReceived) and http_event.stream_id in self.echoing:
                stream, ended = http_event.stream_id, http_event.stream_ended
                self.http.send_data(stream, http_event.data, ended)
        self.transmit()

    def request(self, event):
        headers = dict(event.headers)
        method = headers.get(b":method", b"").decode()
        path = headers.get(b":path", b"").decode()
        stream = event.stream_id
        if stream in self.echoing:  # trailers
            self.http.send_data(stream, b"", True)
        elif method == "POST" and path == "/echo":
            self.http.send_headers(stream, [(b":status", b"200")], event.stream_ended)
            if not event.stream_ended:
                self.echoing.add(stream)
        else:
            status, body = self.answer(path)
            length = str(len(body)).encode()
            head = [(b":status", str(status).encode()), (b"content-length", length)]
            self.http.send_headers(stream, head)
            self.http.send_data(stream, body, True)

    def answer(self, path):
        """Status and body of a GET."""
        name = path.split("?")[0].lstrip("/")
        if name.isdecimal():
            length = int(name)
            return 200, (PATTERN * (length // 256 + 1))[:length]
        file = (self.www / name).resolve()
        if not file.is_relative_to(self.www):
            return 404, b""
        if file.is_dir():
            file = file / "index.html"
        return (200, file.read_bytes()) if file.is_file() else (404, b"")


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--www", required=True)
    args = parser.parse_args()

    Http3Server.www = Path(args.www).resolve()
    settings = configuration(is_client=False)
    settings.load_cert_chain(args.cert, args.key)
    host, port = address(args.listen)
    server = await serve(host, port, configuration=settings, create_protocol=Http3Server)
    host, port = server._transport.get_extra_info("sockname")[:2]
    print(f"listening on {host}:{port}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
