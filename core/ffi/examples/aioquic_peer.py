"""aioquic as the other end of the C examples: an echo over ALPN "qchat", and HTTP/3.

  aioquic_peer.py echo-server|h3-server PORT CERTIFICATE KEY
  aioquic_peer.py echo-client PORT BYTES
  aioquic_peer.py h3-client PORT PATH [BODY]
"""

import asyncio
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived


class Echo(QuicConnectionProtocol):
    """Sends everything back."""

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            self._quic.send_stream_data(event.stream_id, event.data, event.end_stream)


class Http(QuicConnectionProtocol):
    """A server: greets who asks, and sends back what is posted. A client: waits for one response."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.method, self.body = {}, b""
        self.done = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        for told in self.http.handle_event(event):
            if self._quic.configuration.is_client:
                self.on_response(told)
            else:
                self.on_request(told)
        self.transmit()

    def on_response(self, told):
        if isinstance(told, HeadersReceived):
            status = dict(told.headers)[b":status"]
            assert status == b"200", status
        if isinstance(told, DataReceived):
            self.body += told.data
        if told.stream_ended and not self.done.done():
            self.done.set_result(self.body)

    def on_request(self, told):
        stream = told.stream_id
        if isinstance(told, HeadersReceived):
            self.method[stream] = dict(told.headers)[b":method"]
            self.http.send_headers(stream, [(b":status", b"200")])
            if told.stream_ended:
                self.http.send_data(stream, b"hello from aioquic\n", True)
        elif isinstance(told, DataReceived):
            self.http.send_data(stream, told.data, told.stream_ended)


async def run_server(mode, port, certificate, key):
    alpn = ["qchat"] if mode == "echo-server" else H3_ALPN
    configuration = QuicConfiguration(is_client=False, alpn_protocols=alpn)
    configuration.load_cert_chain(certificate, key)
    protocol = Echo if mode == "echo-server" else Http
    await serve("127.0.0.1", int(port), configuration=configuration, create_protocol=protocol)
    print("listening", flush=True)
    await asyncio.Event().wait()


async def echo(port, count):
    configuration = QuicConfiguration(alpn_protocols=["qchat"], verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", int(port), configuration=configuration) as client:
        reader, writer = await client.create_stream()
        message = bytes(i * 31 % 251 for i in range(int(count)))
        writer.write(message)
        writer.write_eof()
        back = await asyncio.wait_for(reader.read(), 30)
        assert back == message, f"{len(back)} bytes came back"
        print(f"{len(back)} bytes came back as they went")


async def fetch(port, path, body=None):
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect(
        "127.0.0.1", int(port), configuration=configuration, create_protocol=Http
    ) as client:
        stream = client._quic.get_next_available_stream_id()
        head = {":method": "POST" if body else "GET", ":scheme": "https"}
        head |= {":authority": f"127.0.0.1:{port}", ":path": path}
        fields = [(name.encode(), value.encode()) for name, value in head.items()]
        client.http.send_headers(stream, fields, body is None)
        if body is not None:
            client.http.send_data(stream, body.encode(), True)
        client.transmit()
        sys.stdout.buffer.write(await asyncio.wait_for(client.done, 30))


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    if mode.endswith("-server"):
        asyncio.run(run_server(mode, *arguments))
    elif mode == "echo-client":
        asyncio.run(echo(*arguments))
    else:
        asyncio.run(fetch(*arguments))
