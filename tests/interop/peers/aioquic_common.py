"""What aioquic's interop client and server share: settings from the environment, HTTP by its
name."""

import os
import sys

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion

WINDOW = 16 << 20
V1, V2 = QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2
UNSUPPORTED = 127


def testcase(supported):
    """The test case's name; ends the program if it is not one of these."""
    name = os.environ.get("TESTCASE", "")
    if name not in supported:
        sys.exit(UNSUPPORTED)
    return name


def alpn():
    """The application protocol: the test case's, or what both ends are told to speak."""
    is_h3 = os.environ.get("TESTCASE") == "http3" or os.environ.get("PROTOCOL") == "h3"
    return "h3" if is_h3 else "hq-interop"


def configuration(is_client):
    """Settings whose windows do not slow a large file; version 2 only where it is asked for."""
    settings = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[alpn()] if is_client else ["hq-interop", "h3"],
        max_data=WINDOW,
        max_stream_data=WINDOW,
        idle_timeout=30.0,
        max_datagram_size=1350,
        secrets_log_file=open(os.environ["SSLKEYLOGFILE"], "a"),  # noqa: SIM115
    )
    settings.supported_versions = [V2, V1] if os.environ["TESTCASE"] == "v2" else [V1]
    if is_client:
        settings.original_version = V1
    return settings
