"""aioquic as the interop runner's client: HTTP/0.9 and HTTP/3."""

import asyncio
import os
import ssl
import sys
from pathlib import Path
from urllib.parse import urlparse

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset
from aioquic.tls import CipherSuite
from aioquic_common import alpn, configuration, testcase

CASES = (
    "handshake transfer longrtt chacha20 keyupdate retry resumption zerortt http3 multiconnect v2"
)
# Requests under way at once.
PARALLEL = 64


class Client(QuicConnectionProtocol):
    """Fetches files; each response is kept until it is whole."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None
        self.waiting, self.data = {}, {}

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            for future in self.waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError(event.reason_phrase))
        elif isinstance(event, StreamReset):
            self.waiting[event.stream_id].set_exception(ConnectionError("reset"))
        elif self.http is not None:
            for http_event in self.http.handle_event(event):
                if isinstance(http_event, DataReceived):
                    self.receive(http_event.stream_id, http_event.data, http_event.stream_ended)
                elif isinstance(http_event, HeadersReceived):
                    assert dict(http_event.headers)[b":status"] == b"200"
                    self.receive(http_event.stream_id, b"", http_event.stream_ended)
        elif isinstance(event, StreamDataReceived):
            self.receive(event.stream_id, event.data, event.end_stream)

    def receive(self, stream, data, ended):
        self.data[stream].append(data)
        future = self.waiting[stream]
        if ended and not future.done():
            future.set_result(b"".join(self.data.pop(stream)))

    async def get(self, url):
        if alpn() == "h3" and self.http is None:
            self.http = H3Connection(self._quic)
        parts = urlparse(url)
        stream = self._quic.get_next_available_stream_id()
        self.waiting[stream] = asyncio.get_running_loop().create_future()
        self.data[stream] = []
        if self.http is None:
            self._quic.send_stream_data(stream, f"GET {parts.path}\r\n".encode(), True)
        else:
            head = {":method": "GET", ":scheme": "https"}
            head |= {":authority": parts.netloc, ":path": parts.path}
            headers = [(name.encode(), value.encode()) for name, value in head.items()]
            self.http.send_headers(stream, headers, True)
        self.transmit()
        data = await self.waiting[stream]
        (Path(os.environ["DOWNLOADS"]) / parts.path.lstrip("/")).write_bytes(data)


class Fetcher:
    """Makes connections, each with the ticket of the one before."""

    def __init__(self, case):
        self.case, self.ticket = case, None

    async def fetch(self, urls, resume=False):
        settings = configuration(is_client=True)
        settings.verify_mode = ssl.CERT_NONE
        if self.case == "chacha20":
            settings.cipher_suites = [CipherSuite.CHACHA20_POLY1305_SHA256]
        if resume:
            settings.session_ticket = self.ticket
        parts = urlparse(urls[0])
        async with connect(
            parts.hostname,
            parts.port or 443,
            configuration=settings,
            create_protocol=Client,
            session_ticket_handler=self.keep,
            wait_connected=not (resume and self.case == "zerortt"),
        ) as client:
            if self.case == "keyupdate":
                await client.ping()
                client.request_key_update()
            slots = asyncio.Semaphore(PARALLEL)

            async def one(url):
                async with slots:
                    await client.get(url)

            await asyncio.gather(*map(one, urls))

    def keep(self, ticket):
        self.ticket = ticket


async def main():
    case = testcase(CASES.split())
    urls = os.environ["REQUESTS"].split()
    fetcher = Fetcher(case)
    if case in ("resumption", "zerortt"):
        await fetcher.fetch(urls[:1])
        await fetcher.fetch(urls[1:], resume=True)
    elif case == "multiconnect":
        for url in urls:
            await fetcher.fetch([url])
    else:
        await fetcher.fetch(urls)


try:
    asyncio.run(main())
except (ConnectionError, OSError) as error:
    sys.exit(f"aioquic_client: {error!r}")
