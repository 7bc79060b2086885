"""The rows of the comparison: what each measures, between whom, and about how long it takes.

A row's `run(bench, name, number)` makes one measurement of one stack and returns its figures.
"""

import concurrent.futures
import dataclasses
import time

from .programs import STACKS, Failure, client, serving


@dataclasses.dataclass
class Row:
    """One line of the table."""

    title: str
    # The figure that counts, among those of a run; its unit; whether more of it is better.
    figure: str
    unit: str
    run: callable
    higher_is_better: bool = True
    # Besides the stacks asked for: "limit". Only among these: some stacks have no HTTP/3.
    limit: bool = False
    among: tuple = tuple(STACKS)
    # Seconds of one run, about, to say how long all will take.
    seconds: float = 3.0
    # Not more rounds than that.
    rounds: int = 99
    # So many times as many as others: where runs of one program differ much.
    times: int = 1
    # What the ratio to the best peer must be at least (or at most, where less is better).
    goal: float | None = None
    # "compare": beside the peers. "growth": how our own cost grows.
    table: str = "compare"
    # The option of our program that the row needs, if it is not one of the first.
    needs: str | None = None

    def rounds_of(self, asked):
        """How many rounds it has if so many are asked for."""
        return min(self.rounds, asked * self.times)


def pair(bench, name, options, server_options=(), relay=None):
    """A server and a client of one stack: the client's figures and both sides' processor time."""
    with serving(bench.programs.server(name, server_options)) as server:
        return between(bench, server, bench.programs.perf[name], options, relay)


def between(bench, server, program, options, relay=None):
    """A client at this server, through a relay if its options are given."""
    command = [program, "client", "--json", *options]
    before = server.cpu()
    if relay is None:
        figures = client([*command, "--connect", server.address])
    else:
        with serving([bench.programs.relay, "--to", server.address, *relay]) as between_them:
            figures = client([*command, "--connect", between_them.address])
    figures["server_cpu"] = server.cpu() - before
    return figures


def bulk(mode, streams=1):
    """Payload one way."""

    def run(bench, name, _number):
        return pair(bench, name, ["--mode", mode, "--streams", str(streams), "--bytes", str(bench.bytes)])

    return run


def timed(mode, *options, ours=(), server=(), share=1):
    """As much as can be done in some seconds, or a share of these. `ours` are options of our two
    programs only.
    """

    def run(bench, name, _number):
        own = ours if name == "protoquic" else ()
        asked = ["--mode", mode, "--secs", str(bench.secs * share), *options, *own]
        return pair(bench, name, asked, [*server, *own])

    return run


def idle(connections):
    """Our client at each server: what a connection keeps that has done one request."""

    def run(bench, name, _number):
        ours, kept = bench.programs.perf["protoquic"], []
        with serving(bench.programs.server(name, [])) as server:
            # What the server keeps once for all is there before the first of them comes.
            between(bench, server, ours, ["--mode", "rps", "--streams", "16", "--secs", "0.3"])
            before = server.memory()

            def look():
                time.sleep(bench.idle / 2)  # the last handshakes' leftovers go
                kept.append(server.memory() - before)

            options = ["--mode", "idle", "--connections", str(connections), "--secs", str(bench.idle)]
            figures = client([ours, "client", "--json", "--connect", server.address, *options], while_open=look)
        figures["kib_per_connection"] = kept[0] / connections / 1024
        return figures

    return run


def packet_cost(connections):
    """Our client at each server: the server's time for a packet of bulk data, handshakes left out."""

    def run(bench, name, _number):
        begun = []
        options = ["--mode", "down", "--bytes", str(bench.bytes), "--connections", str(connections)]
        with serving(bench.programs.server(name, [])) as server:
            command = [bench.programs.perf["protoquic"], "client", "--json", "--connect", server.address]
            figures = client([*command, *options], ready=lambda: begun.append(server.cpu()))
            figures["server_cpu"] = server.cpu() - begun[0]
        packets = figures["packets_sent"] + figures["packets_received"]
        figures["us_per_packet"] = figures["server_cpu"] / packets * 1e6
        return figures

    return run


def active(connections):
    """What a packet costs with many connections, in proportion to what it costs with one."""
    one, many = packet_cost(1), packet_cost(connections)

    def run(bench, name, number):
        alone, figures = one(bench, name, number)["us_per_packet"], many(bench, name, number)
        return {**figures, "us_per_packet_1": alone, "growth": figures["us_per_packet"] / alone}

    return run


def lossy(congestion, share, loss=1.0, ours=()):
    """A download through the relay; the round's number is the relay's seed, the same for every stack.
    `ours` are the options of our two programs, if theirs are others.
    """

    def run(bench, name, number):
        control = ours if ours and name == "protoquic" else ("--congestion_control", congestion)
        relay = ["--loss", str(loss), "--delay", "10", "--seed", str(number), *bench.link]
        options = ["--mode", "down", "--bytes", str(int(bench.bytes * share)), *control]
        return {**pair(bench, name, options, control, relay), "seed": number}

    return run


def http3(path, mode, *options):
    """A folder's file over HTTP/3."""

    def run(bench, name, _number):
        folder = bench.www()
        size = (folder / path).stat().st_size
        scale = ["--secs", str(bench.secs)] if mode == "rps" else []
        asked = ["--mode", mode, "--bytes", str(size), "--http3", f"/{path}", *scale, *options]
        with serving(bench.programs.file_server(name, folder, [])) as server:
            return between(bench, server, bench.programs.perf[name], asked)

    return run


def workers(count):
    """Small requests of two clients' processes, at a server of so many workers."""

    def run(bench, name, _number):
        program = bench.programs.perf[name]
        options = ["--mode", "rps", "--secs", str(bench.secs), "--connections", "16", "--streams", "4"]
        with serving(bench.programs.server(name, ["--workers", str(count)])) as server:
            command = [program, "client", "--json", "--connect", server.address, *options]
            with concurrent.futures.ThreadPoolExecutor() as pool:
                both = list(pool.map(client, [command, command]))
            cpu = server.cpu()
        figures = {key: one + two for (key, one), two in zip(both[0].items(), both[1].values()) if key != "mode"}
        return {**figures, "server_cpu": cpu, "workers": count}

    return run


def per_gigabyte(run):
    """The same run; what counts is the server's processor time for a gigabyte."""

    def and_cost(bench, name, number):
        figures = run(bench, name, number)
        return {**figures, "server_s_per_gb": figures["server_cpu"] / figures["bytes"] * 1e9}

    return and_cost


OURS = ("protoquic",)
WITH_HTTP3 = ("protoquic", "quinn", "quiche")
ROWS = {
    "down": Row("download, 1 stream", "gbps", "Gbit/s", bulk("down"), limit=True, seconds=4, goal=2.0),
    "up": Row("upload, 1 stream", "gbps", "Gbit/s", bulk("up"), limit=True, seconds=4, goal=2.0),
    "down50": Row("download, 50 streams", "gbps", "Gbit/s", bulk("down", 50), seconds=4, goal=2.0),
    "rps1": Row("requests, one at a time", "rps", "1/s", timed("rps"), seconds=2.5, goal=1.3),
    "rps1_sleep": Row(
        "the same, ours with --busy_poll 0", "rps", "1/s",
        timed("rps", ours=("--busy_poll", "0")), seconds=2.5, needs="--busy_poll",
    ),
    "rps100": Row("requests, 100 at a time", "rps", "1/s", timed("rps", "--streams", "100"), seconds=2.5, goal=1.3),
    # The machine's speed changes within seconds: stacks that take turns quickly meet the same.
    "hs": Row(
        "handshakes, 16 at a time", "hps", "1/s", timed("hs", share=0.25), seconds=0.7, goal=1.2, times=9,
    ),
    "resume": Row(
        "handshakes, resumed", "hps", "1/s", timed("hs", "--resume", share=0.25), seconds=0.7, goal=2.0,
        times=9,
    ),
    "idle2000": Row(
        "memory of an idle connection, 2,000 of them", "kib_per_connection", "KiB", idle(2000),
        higher_is_better=False, seconds=4,
    ),
    "idle10000": Row(
        "memory of an idle connection, 10,000 of them", "kib_per_connection", "KiB", idle(10_000),
        higher_is_better=False, seconds=10,
    ),
    "active": Row(
        "server's time for a packet, 1,000 connections against 1", "growth", "x", active(1000),
        higher_is_better=False, seconds=8,
    ),
    "cubic": Row(
        "download, 1 % loss, 20 ms, CUBIC", "gbps", "Gbit/s", lossy("cubic", 0.004), seconds=9, goal=1.0,
    ),
    "cubic_strict": Row(
        "the same, ours with --congestion_control cubic-strict", "gbps", "Gbit/s",
        lossy("cubic", 0.004, ours=("--congestion_control", "cubic-strict")), seconds=9, needs="cubic-strict",
    ),
    "cubic_tolerant": Row(
        "the same, ours with --loss_tolerance 5", "gbps", "Gbit/s",
        lossy("cubic", 0.004, ours=("--loss_tolerance", "5")), seconds=9, goal=1.0, needs="--loss_tolerance",
    ),
    "bbr": Row("download, 1 % loss, 20 ms, BBR", "gbps", "Gbit/s", lossy("bbr", 0.025), seconds=4, goal=1.0),
    "http3_small": Row(
        "HTTP/3, files of 1 KB, 100 at a time", "rps", "1/s", http3("small", "rps", "--streams", "100"),
        among=WITH_HTTP3, goal=1.5, needs="--http3",
    ),
    "http3_large": Row(
        "HTTP/3, a large file", "gbps", "Gbit/s", http3("large", "down"),
        among=WITH_HTTP3, seconds=4, goal=1.5, needs="--http3",
    ),
}


def growth_rows():
    """How our own cost grows with connections, streams, loss and cores."""
    rows = {}
    for count in (1, 10, 100, 1000):
        rows[f"connections{count}"] = Row(
            f"download, {count} connections", "us_per_packet", "server's µs for a packet", packet_cost(count),
        )
    for count in (1, 10, 100, 1000):
        run = per_gigabyte(bulk("down", count))
        rows[f"streams{count}"] = Row(f"download, {count} streams", "server_s_per_gb", "server's s/GB", run)
    for loss in (0.0, 0.1, 1.0, 3.0):
        run = per_gigabyte(lossy("bbr", 0.025, loss))
        rows[f"loss{loss:g}"] = Row(
            f"download, {loss:g} % loss, 20 ms, BBR", "server_s_per_gb", "server's s/GB", run,
        )
    for count in (1, 2):
        rows[f"workers{count}"] = Row(
            f"requests, two clients with 16 connections and 64 at a time each, {count} workers", "rps", "1/s",
            workers(count), needs="--workers",
        )
    for row in rows.values():
        row.table, row.among, row.rounds = "growth", OURS, 3
    return rows


ROWS.update(growth_rows())


def why_not(row, programs):
    """Why a row cannot be run with the programs that are there, or None."""
    if row.needs is None:
        return None
    role = "server" if row.needs == "--workers" else "client"
    if programs.knows("protoquic", role, row.needs):
        return None
    return f"quic_perf has no {row.needs}"


def measure(row, bench, name, number):
    """One run; None, with a line that says why, if it failed."""
    try:
        return row.run(bench, name, number)
    except (Failure, KeyError, IndexError, ValueError, OSError) as error:
        print(f"{name}: {type(error).__name__}: {error}", flush=True)
        return None
