"""What aioquic's client and server here share: settings, and the reading of addresses."""

from aioquic.quic.configuration import QuicConfiguration

CONNECTION_WINDOW = 32 << 20
STREAM_WINDOW = 16 << 20


def configuration(is_client):
    """A configuration for HTTP/3 whose windows do not slow a large body."""
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=["h3"],
        max_data=CONNECTION_WINDOW,
        max_stream_data=STREAM_WINDOW,
        idle_timeout=30.0,
    )


def address(text):
    """`127.0.0.1:443` or `[::1]:443` as a host and a port."""
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)
