"""The interop runner's checks on captures and key logs. Each takes an `Evidence` and returns None,
or a line that says what is wrong."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from . import tls
from .protection import V1, V2, CHACHA
from .trace import HANDSHAKE, INITIAL, NEGOTIATION, ONE_RTT, RETRY, ZERO_RTT, Trace

ECT, CE = (1, 2), 3
# Transport parameter initial_max_streams_bidi (RFC 9000 §18.2).
INITIAL_MAX_STREAMS_BIDI = 0x08


@dataclass
class Evidence:
    """What a run left behind. `left` is the capture at the client, `right` at the server."""

    folder: Path
    sizes: dict
    secrets: dict = field(default_factory=dict)

    @cached_property
    def left(self):
        return Trace(self.folder / "trace_node_left.pcap", self.secrets)

    @cached_property
    def right(self):
        return Trace(self.folder / "trace_node_right.pcap", self.secrets)

    @classmethod
    def of(cls, folder, sizes):
        secrets = tls.key_log(sorted(folder.glob("*/keys.log")))
        return cls(folder, sizes, secrets)


def version_1(evidence):
    versions = {packet.version for packet in evidence.right.of(INITIAL, True)}
    if versions != {V1}:
        return f"the server's Initials are of versions {[hex(v) for v in sorted(versions)]}"
    return None


def handshakes(count):
    def check(evidence):
        found = len({packet.source for packet in evidence.right.of(INITIAL, True)})
        return None if found == count else f"{found} handshakes, expected {count}"

    return check


def no_retry(evidence):
    retries = evidence.left.of(RETRY) + evidence.right.of(RETRY)
    return "there is a Retry packet" if retries else None


def keys_logged(evidence):
    # Without secrets nothing below could be seen, and would pass.
    opened = [packet for packet in evidence.right.of(ONE_RTT) if packet.frames is not None]
    return None if opened else "no 1-RTT packet could be opened with the key logs"


def two_client_hellos(evidence):
    hellos = [
        packet
        for packet in evidence.left.of(INITIAL, False)
        if any(frame[1] == 0 for frame in packet.all("CRYPTO"))
    ]
    return None if len(hellos) >= 2 else f"{len(hellos)} ClientHellos, expected 2 or more"


def only_chacha(evidence):
    hellos = 0
    for connection in evidence.left.connections:
        for ty, body in connection.messages(False, INITIAL):
            if ty == tls.CLIENT_HELLO:
                hellos += 1
                suites = tls.client_hello(body)[1]
                if suites != [CHACHA]:
                    return f"the client offers {[hex(suite) for suite in suites]}"
    return None if hellos else "no ClientHello could be read"


def stream_limit(evidence):
    for connection in evidence.right.connections:
        for ty, body in connection.messages(True, HANDSHAKE):
            if ty == tls.ENCRYPTED_EXTENSIONS:
                limit = tls.transport_parameters(body).get(INITIAL_MAX_STREAMS_BIDI)
                if limit is None:
                    return "the server allows no streams"
                number = int.from_bytes(limit, "big") & ((1 << (8 * len(limit) - 2)) - 1)
                return None if number <= 1000 else f"initial_max_streams_bidi is {number}"
    return "the server's transport parameters could not be read"


def retry_with_token(evidence):
    trace = evidence.left
    tokens = [packet.token for packet in trace.of(RETRY, True) if packet.token]
    if not tokens:
        return "there is no Retry with a token"
    highest = -1
    for packet in trace.of(INITIAL, False):
        if packet.frames is None:
            return "a client's Initial could not be opened"
        if packet.token in tokens:
            # RFC 9000 §17.2.5.3
            return None if packet.number > highest else "packet numbers were reset after Retry"
        highest = max(highest, packet.number)
    return "no Initial has a Retry's token"


def resumed(evidence):
    hello = []
    for connection in evidence.right.connections:
        types = [ty for ty, _ in connection.messages(True, HANDSHAKE)]
        if types:
            hello.append(tls.CERTIFICATE in types)
    if len(hello) != 2:
        return f"{len(hello)} handshakes could be read, expected 2"
    if hello != [True, False]:
        return f"certificates in the handshakes: {hello}, expected in the first alone"
    return None


def early_data(evidence):
    early = sum(packet.size for packet in evidence.left.of(ZERO_RTT, False))
    later = sum(packet.size for packet in evidence.left.of(ONE_RTT, False))
    if early == 0:
        return "there is no 0-RTT packet"
    if later > MAX_1RTT:
        return f"the client sent {later} bytes in 1-RTT packets, more than {MAX_1RTT}"
    return None


MAX_1RTT = 5000


def keys_updated(evidence):
    for from_server, trace in ((False, evidence.left), (True, evidence.right)):
        updated = [p for p in trace.of(ONE_RTT, from_server) if p.key_phase == 1 and p.frames]
        if not updated:
            return f"the {side(from_server)} sent no packet of key phase 1"
    return None


def marked(evidence):
    for from_server, trace in ((False, evidence.left), (True, evidence.right)):
        sent = [d for d in trace.datagrams if d.from_server == from_server]
        if not any(datagram.ecn in ECT for datagram in sent):
            return f"the {side(from_server)} marks no packet as ECN-capable"
        if any(datagram.ecn == CE for datagram in sent):
            return f"the {side(from_server)} sends packets marked CE"
        acks = [frame for packet in trace.sent(from_server) for frame in packet.all("ACK_ECN")]
        if not any(counts[0] or counts[1] for _, _, counts in acks):
            return f"the {side(from_server)} reports no ECN counts"
    return None


def amplification(evidence):
    trace = evidence.right
    negotiations = [p for p in trace.of(NEGOTIATION) if p.destination or p.source]
    if negotiations:
        return "there is a Version Negotiation packet"
    crypto = [
        frame[1] + len(frame[2])
        for packet in trace.of(HANDSHAKE, True)
        for frame in packet.all("CRYPTO")
    ]
    if max(crypto, default=0) < CHAIN_BYTES:
        return f"the server's handshake has {max(crypto, default=0)} bytes, less than {CHAIN_BYTES}"
    proven = {id(packet.datagram) for packet in trace.of(HANDSHAKE, False)}
    received = sent = 0
    for datagram in trace.datagrams:
        if id(datagram) in proven:
            return None
        if not datagram.from_server:
            received += len(datagram.payload)
            continue
        sent += len(datagram.payload)
        # RFC 9000 §8.1 allows three times; the runner, which sees packets late, up to four.
        if sent >= 4 * received:
            return f"the server sent {sent} bytes for {received}"
    return "the client sent no Handshake packet"


CHAIN_BYTES = 7500


def no_ipv4(evidence):
    lengths = {len(d.source[0]) for d in evidence.right.datagrams if d.from_server}
    return None if lengths == {16} else "the server sent IPv4 packets"


def version_2(evidence):
    if V1 not in {packet.version for packet in evidence.left.of(INITIAL, False)}:
        return "the client did not begin with version 1"
    if V2 not in {packet.version for packet in evidence.right.of(INITIAL, True)}:
        return "the server did not choose version 2"
    rest = evidence.left.of(HANDSHAKE, False) + evidence.right.of(HANDSHAKE, True)
    if {packet.version for packet in rest} != {V2}:
        return "there are Handshake packets that are not of version 2"
    return None


def path(packet):
    """A path as the server sees it."""
    datagram = packet.datagram
    ends = (datagram.source, datagram.destination)
    return ends if packet.from_server else ends[::-1]


def paths_validated(evidence):
    """The first packet on each new path has a PATH_CHALLENGE; all of them were answered."""
    seen, challenges = [], []
    for packet in evidence.right.of(ONE_RTT, True):
        new = path(packet) not in seen
        if packet.frames is None:
            return "a server's packet could not be opened"
        found = [frame[1] for frame in packet.all("PATH_CHALLENGE")]
        if new:
            seen.append(path(packet))
            if len(seen) > 1:
                same = [p for p in evidence.right.packets if p.datagram is packet.datagram]
                if not any(p.has("PATH_CHALLENGE") for p in same):
                    return "the first packet on a new path has no PATH_CHALLENGE"
                challenges += found[:1]
    if len(seen) < 2:
        return f"the server sent on {len(seen)} paths, expected more than 1"
    answers = {
        frame[1]
        for packet in evidence.right.of(ONE_RTT, False) + evidence.left.of(ONE_RTT, False)
        for frame in packet.all("PATH_RESPONSE")
    }
    unanswered = [challenge for challenge in challenges if challenge not in answers]
    return f"{len(unanswered)} PATH_CHALLENGEs had no answer" if unanswered else None


def several_addresses(evidence):
    found = {d.source[0] for d in evidence.right.datagrams if not d.from_server}
    return None if len(found) > 1 else "the client was seen at one address only"


def new_id_on_new_path(evidence):
    """RFC 9000 §9.5: a client that changes its path uses another connection ID there."""
    first, ids = None, set()
    for packet in evidence.left.of(ONE_RTT, False):
        here = path(packet)
        first = first or here
        if here != first:
            used = packet.destination in ids
            return "the first packet on the new path has an old connection ID" if used else None
        ids.add(packet.destination)
    return "the client stayed on its path"


def goodput(evidence):
    """Kilobits per second of file, from the server's first 1-RTT packet at the client to the last."""
    times = [p.datagram.time for p in evidence.left.of(ONE_RTT, True)]
    if len(times) < 2:
        raise ValueError("no 1-RTT packets of the server")
    return 8 * sum(evidence.sizes.values()) / (max(times) - min(times)) / 1000


def side(from_server):
    return "server" if from_server else "client"


