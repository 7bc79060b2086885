"""The wire between two namespaces: a process that carries their packets as a scenario says.

A link is a queue, a serialiser, a fixed delay, and the scenario's model at its far end; both
directions are independent. Both ends are captured as a capture there would see them: what an
end sends before the link, what it receives after it.

Run as a program: `relay.py CLIENT_NS SERVER_NS CAPTURES SEED SCENARIO`. It says `ready`, and
ends at a SIGTERM with its counts as its last line.
"""

import heapq
import itertools
import os
import select
import signal
import sys
import time
from pathlib import Path

from . import ip, pcap
from .namespaces import Namespace
from .scenario import Scenario

# A packet on the simulator's links has two bytes of PPP before it.
FRAMING = 2
BATCH = 64


class Link:
    """One direction."""

    def __init__(self, scenario, model, device, capture):
        self.bandwidth, self.delay = scenario.bandwidth, scenario.delay
        # The simulator's queue, its device's one packet, and the one on the wire.
        self.room = scenario.queue + 2
        self.model, self.device, self.capture = model, device, capture
        self.free_at = 0.0
        self.leaves = []
        self.carried = self.overflowed = self.lost = 0

    def put(self, packet, now):
        """When the packet will arrive, or None if the queue is full."""
        while self.leaves and self.leaves[0] <= now:
            self.leaves.pop(0)
        if len(self.leaves) >= self.room:
            self.overflowed += 1
            return None
        self.free_at = max(self.free_at, now) + (len(packet) + FRAMING) * 8 / self.bandwidth
        self.leaves.append(self.free_at)
        return self.free_at + self.delay

    def arrive(self, packet, now):
        if ip.is_udp(packet):
            packet = self.model.arrive(packet, now)
        if packet is None:
            self.lost += 1
            return
        self.carried += 1
        self.capture.write(packet)
        try:
            os.write(self.device, packet)
        except OSError as error:
            print(f"cannot deliver {len(packet)} bytes: {error}", flush=True)


class Relay:
    """Both directions and their one clock."""

    def __init__(self, devices, captures, scenario, seed):
        to_server, to_client = scenario.models(seed)
        client, server = devices
        left, right = captures
        self.to_server = Link(scenario, to_server, server, right)
        self.to_client = Link(scenario, to_client, client, left)
        self.sides = {client: (left, self.to_server), server: (right, self.to_client)}
        self.under_way, self.order = [], itertools.count()
        self.stopped = False

    def run(self):
        while not self.stopped:
            readable, _, _ = select.select(list(self.sides), [], [], self.wait())
            for device in readable:
                self.take(device)
            now = time.monotonic()
            while self.under_way and self.under_way[0][0] <= now:
                _, _, link, packet = heapq.heappop(self.under_way)
                link.arrive(packet, now)

    def wait(self):
        if not self.under_way:
            return 0.5
        return max(0.0, self.under_way[0][0] - time.monotonic())

    def take(self, device):
        capture, link = self.sides[device]
        for _ in range(BATCH):
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            now = time.monotonic()
            if ip.is_udp(packet):
                capture.write(packet)
            arrival = link.put(packet, now)
            if arrival is not None:
                heapq.heappush(self.under_way, (arrival, next(self.order), link, packet))

    def counts(self):
        links = {"to server": self.to_server, "to client": self.to_client}
        return ", ".join(
            f"{name} {link.carried} carried {link.lost} lost {link.overflowed} overflowed"
            for name, link in links.items()
        )


def main():
    client, server, folder, seed, text = sys.argv[1:]
    devices = [Namespace(client, "client").open_device(), Namespace(server, "server").open_device()]
    captures = [
        pcap.Writer(Path(folder) / name) for name in ("trace_node_left.pcap", "trace_node_right.pcap")
    ]
    relay = Relay(devices, captures, Scenario.parse(text), seed)

    def stop(*_):
        relay.stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print("ready", flush=True)
    relay.run()
    for capture in captures:
        capture.close()
    print(relay.counts(), flush=True)


if __name__ == "__main__":
    main()
