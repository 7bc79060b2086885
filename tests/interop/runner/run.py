"""One run of a case: namespaces, relay, server, client; then the checks."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import checks, material, stacks
from .namespaces import Namespace, Unpermitted

UNSUPPORTED_STATUS = 127
START_SECONDS = 10
PASSED, FAILED, UNSUPPORTED = "passed", "failed", "unsupported"
# Failed for a reason that is the peer's alone, as it fails with others too.
PEER = "peer"
SERVER_4, SERVER_PORT = "193.167.100.100", 443
# The simulator asks with a version that nobody has, until Version Negotiation comes.
PROBE = b"\xc0WAIT" + bytes(2) + bytes(1200)


@dataclass
class Outcome:
    """How a run ended. `words` say why, `figure` is the measurement."""

    result: str
    words: str = ""
    seconds: float = 0.0
    figure: float = None


@dataclass
class Bench:
    """Where programs are and where runs go."""

    places: dict
    output: Path
    seed: int
    counter: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, case, client, server, number):
        """Plays a case once."""
        protocol = stacks.protocol(case, client, server)
        for end, role in ((client, "client"), (server, "server")):
            if why := end.unsupported.get(case.name):
                return Outcome(UNSUPPORTED, f"{end.stack}'s {role}: {why}")
        if protocol is None:
            return Outcome(UNSUPPORTED, "they have no HTTP in common for this case")
        folder = self.output / f"{client.stack}-{server.stack}" / f"{case.name}.{number}"
        shutil.rmtree(folder, ignore_errors=True)
        seed = f"{self.seed} {case.name} {number}"
        started = time.monotonic()
        with Run(self, case, client, server, protocol, folder, seed) as run:
            outcome = run.play()
        outcome.seconds = time.monotonic() - started
        known = client.defects.get(case.name), server.defects.get(case.name)
        if outcome.result == FAILED and any(known):
            end = client if known[0] else server
            words = f"{end.stack}: {known[0] or known[1]} ({outcome.words})"
            outcome = replace(outcome, result=PEER, words=words)
        if outcome.result == PASSED:
            tidy(folder)
        return outcome

    def next_name(self):
        with self.lock:
            self.counter += 1
            return f"q{os.getpid()}-{self.counter}"

    def certificates(self, length):
        """The folder of a chain of so many certificates; all runs have the same."""
        folder = self.output / "certs" / str(length)
        with self.lock:
            if not (folder / "ca.pem").is_file():
                material.certificates(folder, length)
        return folder


def tidy(folder):
    """What a passed run needs no more."""
    for name in ("www", "downloads"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for capture in folder.glob("*.pcap"):
        capture.unlink()


class Run(contextlib.ExitStack):
    """A case under way."""

    def __init__(self, bench, case, client, server, protocol, folder, seed):
        super().__init__()
        self.bench, self.case, self.client, self.server = bench, case, client, server
        self.protocol, self.folder, self.seed = protocol, folder, seed

    def play(self):
        self.lay_out()
        name = self.bench.next_name()
        try:
            self.spaces = {
                role: self.enter_context(Namespace(f"{name}{role[0]}", role))
                for role in ("client", "server")
            }
            relay = self.start_relay()
        except Unpermitted as error:
            raise SystemExit(f"no network namespaces here: {error}") from error
        server = self.start("server", self.server, {"TESTCASE": self.case.server})
        if server_gone := self.wait_for(server):
            return server_gone
        if self.case.cross_traffic:
            self.start_cross_traffic()
        outcome = self.run_client()
        self.end(server)
        self.end(relay)
        if server.returncode == UNSUPPORTED_STATUS:
            return Outcome(UNSUPPORTED, "one of the programs does not know the case")
        return outcome or self.judge()

    def lay_out(self):
        """The folders that the runner mounts."""
        self.www, self.downloads = self.folder / "www", self.folder / "downloads"
        self.downloads.mkdir(parents=True)
        self.sizes = material.files(self.www, self.case.sizes, self.case.name_length, self.seed)
        self.certs = self.bench.certificates(self.case.chain)

    def environment(self, role):
        logs = self.folder / role
        logs.mkdir(exist_ok=True)
        return os.environ | {
            "ROLE": role,
            "WWW": str(self.www),
            "DOWNLOADS": str(self.downloads),
            "CERTS": str(self.certs),
            "LOGS": str(logs),
            "SSLKEYLOGFILE": str(logs / "keys.log"),
            "QLOGDIR": str(logs),
            "PROTOCOL": self.protocol,
        }

    def start(self, role, end, variables):
        words = self.spaces[role].command(end.words(self.bench.places))
        environment = self.environment(role) | variables
        with open(self.folder / f"{role}.log", "wb") as log:
            process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder / role,
                start_new_session=True,
            )
        self.callback(self.end, process)
        return process

    def start_relay(self):
        words = ["-m", "runner.relay", self.spaces["client"].name, self.spaces["server"].name]
        log = open(self.folder / "relay.log", "wb")  # noqa: SIM115 - the process has it
        process = subprocess.Popen(
            [sys.executable, *words, str(self.folder), self.seed, self.case.scenario],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parent.parent,
            start_new_session=True,
        )
        log.close()
        self.callback(self.end, process)
        deadline = time.monotonic() + START_SECONDS
        while b"ready" not in (self.folder / "relay.log").read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unpermitted((self.folder / "relay.log").read_text()[-400:])
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, -10)  # a network does not wait for CPUs
        return process

    def start_cross_traffic(self):
        """TCP from the server's side to the client's, over the same link."""
        listen = ["iperf3", "-s", "-B", "193.167.0.90"]
        flow = ["iperf3", "-c", "193.167.0.90", "-B", "193.167.100.110", "-C", "cubic"]
        for role, words in (("client", listen), ("server", [*flow, "-t", str(self.case.seconds)])):
            with open(self.folder / f"iperf-{role}.log", "wb") as log:
                process = subprocess.Popen(
                    self.spaces[role].command(words),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.callback(self.end, process)
            time.sleep(0.5)

    def wait_for(self, server):
        """Waits for Version Negotiation, as the simulator does; an outcome if there is no server."""
        probe = self.spaces["server"].inside(open_probe)
        with probe:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline:
                if server.poll() is not None:
                    if server.returncode == UNSUPPORTED_STATUS:
                        return Outcome(UNSUPPORTED, "one of the programs does not know the case")
                    return Outcome(FAILED, f"the server ended with {server.returncode}")
                with contextlib.suppress(OSError):
                    probe.send(PROBE)
                    if probe.recv(2000)[1:5] == bytes(4):
                        return None
                    continue
                time.sleep(0.02)
        # A server may refuse to answer the probe: whether it is there, the client will see.
        return None

    def run_client(self):
        """Runs the client to its end; an outcome if that is already one."""
        urls = " ".join(f"https://{self.case.host}:443/{name}" for name in self.sizes)
        variables = {"TESTCASE": self.case.client, "REQUESTS": urls}
        client = self.start("client", self.client, variables)
        try:
            status = client.wait(self.case.seconds)
        except subprocess.TimeoutExpired:
            return Outcome(FAILED, f"the client was not done in {self.case.seconds} s")
        if status == UNSUPPORTED_STATUS:
            return Outcome(UNSUPPORTED, "one of the programs does not know the case")
        if status != 0:
            return Outcome(FAILED, f"the client ended with {status}: {self.last_words('client')}")
        return None

    def last_words(self, role):
        text = (self.folder / f"{role}.log").read_text(errors="replace").strip()
        return text.splitlines()[-1][:200] if text else "(no words)"

    def judge(self):
        wrong = material.differences(self.www, self.downloads, self.sizes)
        if wrong:
            return Outcome(FAILED, wrong)
        evidence = checks.Evidence.of(self.folder, self.sizes)
        for check in self.case.checks:
            wrong = check(evidence)
            if wrong:
                return Outcome(FAILED, wrong)
        figure = checks.goodput(evidence) if self.case.measured else None
        return Outcome(PASSED, figure=figure)

    def end(self, process):
        """Ends a program and all that it started."""
        if process.poll() is not None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
                return


def open_probe():
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.settimeout(0.1)
    probe.connect((SERVER_4, SERVER_PORT))
    return probe

