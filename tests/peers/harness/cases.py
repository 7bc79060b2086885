"""The cases: pairs of stacks, the browser, and transfers over a bad network."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor

from . import process
from .browser import Browser
from .process import Failure
from .work import Work, same

PAGE_SECONDS = 180
PAGE_PIECES = ["index", "file", "echo", "parallel", "protocol"]

# A PNG of an empty window is smaller than this; a page with text and pictures is larger.
PICTURE_BYTES = 5_000


def pair(bench, report, client, server):
    """A client's whole work at a server. The server must outlive it."""
    name = f"{client}->{server}"
    pieces = [piece for piece, _ in Work(bench, client, server, 0).pieces()]
    if not any(report.wants(f"{name} {piece}") for piece in pieces + ["alive"]):
        return
    started = time.monotonic()
    try:
        with bench.server(server, f"{client}-{server}.server.log") as running:
            for piece, function in Work(bench, client, server, running.port).pieces():
                report.case(f"{name} {piece}", function)
            report.case(f"{name} alive", lambda: alive(running))
    except Failure as failure:
        report.record(f"{name} start", time.monotonic() - started, str(failure))


def alive(running):
    """The server still runs after all that, and has not panicked."""
    if running.died() is not None:
        raise Failure(f"server ended with {running.died()}: {running.tail()}")
    if "panicked at" in running.text():
        raise Failure(f"server panicked: {running.tail()}")


def webtransport(bench, report):
    """aioquic's WebTransport client at our server's echo."""

    def session():
        with bench.server("ours_webtransport", "webtransport.server.log") as running:
            places = bench.places()
            script = places["here"] / "webtransport.py"
            command = [places["python"], str(script), "--ca", str(bench.material.ca)]
            command += ["--connect", f"127.0.0.1:{running.port}"]
            log = bench.output / "webtransport.client.log"
            status, said = process.run(command, PAGE_SECONDS, log)
            if status != 0:
                raise Failure(f"client ended with {status}: {said}")
            alive(running)

    report.case("aioquic->ours webtransport", session)


def page_webtransport(bench, report):
    """The same by the browser's own WebTransport."""

    def session():
        expression = (bench.places()["here"] / "webtransport.js").read_text()
        with bench.server("ours_webtransport", "chromium-webtransport.server.log") as running:
            with browser(bench, running.port, "chromium-webtransport") as chromium:
                chromium.navigate("/", PAGE_SECONDS)
                outcome = chromium.evaluate(expression, PAGE_SECONDS)
            alive(running)
        if outcome != "ok":
            raise Failure(outcome)

    report.case("chromium->ours webtransport", session)


def page(bench, report, server):
    """The same work by the browser's own fetch, and that all of it came by h3."""
    name = f"chromium->{server}"
    wanted = [piece for piece in PAGE_PIECES if report.wants(f"{name} {piece}")]
    if not wanted:
        return
    started = time.monotonic()
    try:
        with bench.server(server, f"chromium-{server}.server.log") as running:
            with browser(bench, running.port, f"chromium-{server}") as chromium:
                chromium.navigate("/page.html", PAGE_SECONDS)
                outcomes = json.loads(chromium.evaluate("finished", PAGE_SECONDS))
            alive(running)
    except Failure as failure:
        report.record(f"{name} page", time.monotonic() - started, str(failure))
        return
    for piece in wanted:
        outcome = outcomes[piece]
        report.record(f"{name} {piece}", outcome["seconds"], outcome["error"])


def screenshot(bench, server):
    """A picture of the server's front page, loaded by h3."""
    with bench.server(server, f"screenshot-{server}.server.log") as running:
        with browser(bench, running.port, f"screenshot-{server}") as chromium:
            chromium.navigate("/", PAGE_SECONDS)
            entry = "performance.getEntriesByType('navigation')[0]"
            status = chromium.evaluate(f"{entry}.responseStatus", 10)
            protocol = chromium.evaluate(f"{entry}.nextHopProtocol", 10)
            title = chromium.evaluate("document.title", 10)
            picture = bench.output / f"{server}.png"
            chromium.screenshot(picture)
    if status != 200 or protocol != "h3":
        raise Failure(f"status {status} by {protocol}")
    if picture.stat().st_size < PICTURE_BYTES:
        raise Failure(f"a picture of {picture.stat().st_size} bytes is a picture of nothing")
    return f"{picture.name}, title {title!r}"


def browser(bench, port, label):
    """A new Chromium for that port, with a profile of its own."""
    profile = bench.scratch / f"profile-{label}-{port}"
    log = bench.output / f"{label}.chromium.log"
    return Browser(bench.chromium, port, bench.material.spki, profile, log)


def relayed(bench, report, client, server, plan):
    """Large bodies both ways through the relay, for every seed, `plan.jobs` seeds at a time."""
    body = bench.scratch / "relay-body.bin"
    body.write_bytes(random.Random(2).randbytes(plan.bytes))

    def seed_case(seed):
        name = f"{client}->relay->{server} seed {seed}"
        report.case(name, lambda: one_seed(bench, client, server, plan, seed, body))

    with ThreadPoolExecutor(plan.jobs) as pool:
        list(pool.map(seed_case, range(plan.first_seed, plan.first_seed + plan.seeds)))


def one_seed(bench, client, server, plan, seed, body):
    """Down by GET and up and down by POST, at a server and relay of its own."""
    label = f"relay-{client}-{server}-{seed}"
    options = f"{plan.options} --seed {seed}"
    with bench.server(server, f"{label}.server.log") as running:
        with bench.through_relay(running.port, options, f"{label}.relay.log") as relay:
            work = Work(bench, client, server, relay.port)
            started = time.monotonic()
            down = len(work.get(f"down-{seed}", [f"/{plan.bytes}"], seconds=plan.seconds))
            if down != plan.bytes:
                raise Failure(f"GET: {down} bytes came of {plan.bytes}")
            between = time.monotonic()
            echo = work.get(f"echo-{seed}", ["/echo"], post=body, seconds=plan.seconds)
            same(echo, body.read_bytes())
            ended = time.monotonic()
        alive(running)
    if "lost" not in relay.tail():
        raise Failure(f"the relay did not say what it did: {relay.tail()}")
    return f"down {between - started:.1f} s, echo {ended - between:.1f} s"
