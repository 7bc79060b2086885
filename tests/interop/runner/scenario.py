"""The simulator's scenario strings: `simple-p2p --delay=15ms --bandwidth=10Mbps --queue=25`.

Each model gets a packet as it arrives at the far end of its link and returns it, changed or
not, or None if the network loses it. Only UDP is touched. Times count from the first packet.
"""

import random
import re
from dataclasses import dataclass, field

from . import ip

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
BITS = {"bps": 1.0, "kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9}
ENDLESS = 1 << 60


@dataclass
class Scenario:
    """A scenario's name and options; the link is common to all."""

    name: str
    options: dict = field(default_factory=dict)

    @classmethod
    def parse(cls, text):
        name, *words = text.split()
        if name not in MODELS:
            raise ValueError(f"no such scenario: {name}")
        options = {}
        for word in words:
            found = re.fullmatch(r"--([a-z_-]+)(?:=(.*))?", word)
            if found is None:
                raise ValueError(f"{word} is not an option")
            options[found[1]] = "true" if found[2] is None else found[2]
        return cls(name, options)

    def seconds(self, option, default=None):
        return quantity(self.options.get(option, default), SECONDS)

    @property
    def delay(self):
        return self.seconds("delay")

    @property
    def bandwidth(self):
        return quantity(self.options["bandwidth"], BITS)

    @property
    def queue(self):
        return int(self.options["queue"])

    def models(self, seed):
        """The models of the links to the server and to the client."""
        return MODELS[self.name](self, seed)


def quantity(text, units):
    found = re.fullmatch(r"([0-9.]+)([a-zA-Z]+)", text)
    return float(found[1]) * units[found[2]]


class Clear:
    """Loses nothing."""

    def arrive(self, packet, _now):
        return packet


class Bursts:
    """Decides at random, at most `burst` times in a row."""

    def __init__(self, scenario, side, rng):
        self.rate = float(scenario.options.get(f"rate_to_{side}", 0)) / 100
        self.burst = int(scenario.options.get(f"burst_to_{side}", ENDLESS))
        self.rng, self.row = rng, 0

    def strikes(self):
        if self.row < self.burst and self.rng.random() < self.rate:
            self.row += 1
            return True
        self.row = 0
        return False


class Drop(Clear):
    """drop-rate: loses packets at random."""

    def __init__(self, bursts):
        self.bursts = bursts

    def arrive(self, packet, _now):
        return None if self.bursts.strikes() else packet


class Corrupt(Clear):
    """corrupt-rate: changes one of a datagram's first 51 bytes, but not in Version Negotiation.

    The checksum is made right again, so that the change reaches the program. (In the
    simulator itself such packets are lost; that is drop-rate.)
    """

    REACH = 51

    def __init__(self, bursts):
        self.bursts = bursts

    def arrive(self, packet, _now):
        start = ip.payload_offset(packet)
        length = len(packet) - start
        if length > 5 and packet[start] & 0x80 and packet[start + 1 : start + 5] == bytes(4):
            return packet
        if length < 1 or not self.bursts.strikes():
            return packet
        changed = bytearray(packet)
        place = start + self.bursts.rng.randrange(min(self.REACH, length))
        changed[place] ^= self.bursts.rng.randrange(1, 256)
        return ip.with_checksums(changed)


class DropList(Clear):
    """droplist: loses the packets of these numbers, counted from 1."""

    def __init__(self, numbers):
        self.numbers, self.count = numbers, 0

    def arrive(self, packet, _now):
        self.count += 1
        return None if self.count in self.numbers else packet


class Blackhole(Clear):
    """blackhole: passes for `on`, loses everything for `off`, so often; then passes."""

    def __init__(self, scenario):
        self.on, self.off = scenario.seconds("on"), scenario.seconds("off")
        self.repeat, self.started = int(scenario.options.get("repeat", 1)), None

    def arrive(self, packet, now):
        self.started = self.started or now
        rounds, within = divmod(now - self.started, self.on + self.off)
        return None if rounds < self.repeat and within >= self.on else packet


class Nat:
    """rebind: gives every flow of the client a new port, and perhaps address, now and then."""

    def __init__(self, scenario, rng):
        self.rng = rng
        self.first, self.next = scenario.seconds("first-rebind", "1s"), None
        every = scenario.options.get("rebind-freq")
        self.every = quantity(every, SECONDS) if every else None
        self.moves = "rebind-addr" in scenario.options
        self.address = ip.CLIENT_4
        self.outer, self.inner = {}, {}

    def rebind_in_time(self, now):
        if self.first is not None:
            self.next, self.first = now + self.first, None
        elif self.next is not None and now >= self.next:
            self.rebind()

    def out(self, packet):
        if not ip.is_from(packet, ip.CLIENT_4):
            return packet
        port = ip.source_port(packet)
        if port not in self.outer:
            self.outer[port] = port
            self.inner[port] = port
        return ip.from_address(packet, self.address, self.outer[port])

    def back(self, packet):
        if not ip.is_from(packet, ip.SERVER_4):
            return packet
        port = self.inner.get(ip.destination_port(packet))
        if port is None or ip.destination(packet) != self.address:
            return None
        return ip.to_address(packet, ip.CLIENT_4, port)

    def rebind(self):
        self.next = self.next + self.every if self.every else None
        if self.moves:
            old = self.address
            while self.address in (old, ip.CLIENT_4):
                self.address = ip.CLIENT_4[:3] + bytes([self.rng.randrange(1, 255)])
        taken = set(self.inner) | set(self.outer)
        self.inner = {}
        for port in self.outer:
            new = self.rng.choice([n for n in range(1024, 65536) if n not in taken])
            self.outer[port], self.inner[new] = new, port


class NatSide(Clear):
    """One direction of a NAT."""

    def __init__(self, nat, change):
        self.nat, self.change = nat, change

    def arrive(self, packet, now):
        self.nat.rebind_in_time(now)
        return self.change(packet)


def clear(_scenario, _seed):
    return Clear(), Clear()


def each_side(make):
    """Models that know no more than their side and a random generator of their own."""

    def models(scenario, seed):
        sides = ("server", "client")
        return tuple(make(scenario, side, random.Random(f"{seed} {side}")) for side in sides)

    return models


def blackhole(scenario, side, _rng):
    hit = scenario.options.get("direction", "both") in ("both", f"to{side}")
    return Blackhole(scenario) if hit else Clear()


def droplist(scenario, side, _rng):
    return DropList({int(n) for n in scenario.options.get(f"drops_to_{side}", "").split(",") if n})


def rebind(scenario, seed):
    nat = Nat(scenario, random.Random(seed))
    return NatSide(nat, nat.out), NatSide(nat, nat.back)


MODELS = {
    "simple-p2p": clear,
    "drop-rate": each_side(lambda s, side, rng: Drop(Bursts(s, side, rng))),
    "corrupt-rate": each_side(lambda s, side, rng: Corrupt(Bursts(s, side, rng))),
    "droplist": each_side(droplist),
    "blackhole": each_side(blackhole),
    "rebind": rebind,
}
