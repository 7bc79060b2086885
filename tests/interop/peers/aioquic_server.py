"""aioquic as the interop runner's server: HTTP/0.9 and HTTP/3."""

import asyncio
import os
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.events import ProtocolNegotiated, StreamDataReceived
from aioquic_common import configuration, testcase

CASES = (
    "handshake transfer longrtt chacha20 retry resumption zerortt http3 multiconnect v2 keyupdate"
)
WWW = Path(os.environ.get("WWW", "/www"))


class Server(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None
        self.requests = {}

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated) and event.alpn_protocol == "h3":
            self.http = H3Connection(self._quic)
        if self.http is not None:
            for http_event in self.http.handle_event(event):
                if isinstance(http_event, HeadersReceived):
                    path = dict(http_event.headers)[b":path"].decode()
                    self.answer(http_event.stream_id, path)
        elif isinstance(event, StreamDataReceived):
            request = self.requests.setdefault(event.stream_id, bytearray())
            request += event.data
            if event.end_stream:
                line = self.requests.pop(event.stream_id).decode()
                self.answer(event.stream_id, line.split()[1])
        self.transmit()

    def answer(self, stream, path):
        body = (WWW / path.lstrip("/")).read_bytes()
        if self.http is None:
            self._quic.send_stream_data(stream, body, True)
        else:
            self.http.send_headers(stream, [(b":status", b"200")])
            self.http.send_data(stream, body, True)


class Tickets:
    """Tickets by their names."""

    def __init__(self):
        self.all = {}

    def add(self, ticket):
        self.all[ticket.ticket] = ticket

    def pop(self, label):
        return self.all.pop(label, None)


async def main():
    case = testcase(CASES.split())
    settings = configuration(is_client=False)
    certs = Path(os.environ.get("CERTS", "/certs"))
    settings.load_cert_chain(certs / "cert.pem", certs / "priv.key")
    tickets = Tickets()
    await serve(
        "::",
        443,
        configuration=settings,
        create_protocol=Server,
        session_ticket_fetcher=tickets.pop,
        session_ticket_handler=tickets.add,
        retry=case == "retry",
    )
    await asyncio.Event().wait()


asyncio.run(main())
