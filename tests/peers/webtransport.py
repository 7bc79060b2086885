"""aioquic's WebTransport client at the echo of our server: streams of both kinds and a datagram.

Ends with status 0 if all came back.
"""

import argparse
import asyncio

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import (
    DatagramReceived,
    HeadersReceived,
    WebTransportStreamDataReceived,
)
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived

from aioquic_common import address, configuration

SECONDS = 30
LONG = bytes(range(256)) * 2000
SHORT = b"one way"
DATAGRAM = b"a datagram"


class Client(QuicConnectionProtocol):
    """One connection, one session."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.status = asyncio.get_running_loop().create_future()
        self.bodies = {}
        self.ended = set()
        self.own = set()
        self.datagrams = []
        self.news = asyncio.Event()
        self.closed = None

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.closed = f"closed: {event.error_code:#x} {event.reason_phrase}"
        if isinstance(event, StreamDataReceived) and event.stream_id in self.own:
            # aioquic would look for HTTP/3 frames in answers on streams that it has opened.
            self.receive(event.stream_id, event.data, event.end_stream)
            return
        for http_event in self.http.handle_event(event):
            if isinstance(http_event, HeadersReceived) and not self.status.done():
                self.status.set_result(dict(http_event.headers)[b":status"])
            elif isinstance(http_event, WebTransportStreamDataReceived):
                self.receive(http_event.stream_id, http_event.data, http_event.stream_ended)
            elif isinstance(http_event, DatagramReceived):
                self.datagrams.append(http_event.data)
        self.news.set()

    def receive(self, stream, data, ended):
        """Notes what came on a stream of the session."""
        self.bodies[stream] = self.bodies.get(stream, b"") + data
        if ended:
            self.ended.add(stream)
        self.news.set()

    async def until(self, done):
        """Waits for something to be true."""
        while not done():
            if self.closed:
                raise RuntimeError(self.closed)
            self.news.clear()
            await self.news.wait()

    async def work(self, authority, path):
        """Opens a session and has everything echoed."""
        await self.until(lambda: self.http.received_settings is not None)
        session = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", b"CONNECT"),
            (b":protocol", b"webtransport"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
            (b"origin", b"https://localhost"),
        ]
        self.http.send_headers(session, headers)
        self.transmit()
        status = await self.status
        if path != "/echo":
            if status != b"404":
                raise RuntimeError(f"status {status} where there is no session")
            return
        if status != b"200":
            raise RuntimeError(f"status {status}")

        both = self.http.create_webtransport_stream(session)
        self.own.add(both)
        self._quic.send_stream_data(both, LONG, end_stream=True)
        one = self.http.create_webtransport_stream(session, is_unidirectional=True)
        self._quic.send_stream_data(one, SHORT, end_stream=True)
        self.http.send_datagram(session, DATAGRAM)
        self.transmit()
        await self.until(lambda: len(self.ended) == 2 and self.datagrams)
        bodies = sorted(self.bodies.values(), key=len)
        if bodies != [SHORT, LONG] or self.bodies[both] != LONG:
            raise RuntimeError(f"bodies of {[len(body) for body in bodies]} bytes came back")
        if self.datagrams != [DATAGRAM]:
            raise RuntimeError(f"datagrams {self.datagrams} came back")
        # CLOSE_WEBTRANSPORT_SESSION, code 7; the server ends its part.
        self.http.send_data(session, b"\x68\x43\x07\x00\x00\x00\x07bye", end_stream=True)
        self.transmit()
        await self.ping()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ca", required=True)
    parser.add_argument("--connect", required=True, help="ADDR:PORT")
    args = parser.parse_args()
    settings = configuration(is_client=True)
    settings.load_verify_locations(args.ca)
    settings.server_name = "localhost"
    settings.max_datagram_frame_size = 65536
    host, port = address(args.connect)
    for path in ("/echo", "/nothing"):
        async with connect(host, port, configuration=settings, create_protocol=Client) as client:
            async with asyncio.timeout(SECONDS):
                await client.work(f"localhost:{port}", path)
            if client.closed:
                raise RuntimeError(client.closed)
    print("streams of both kinds and a datagram came back")


asyncio.run(main())
