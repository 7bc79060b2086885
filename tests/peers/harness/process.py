"""Programs under test: started, waited for, ended, their words kept in files."""

import shlex
import socket
import subprocess
import time
from pathlib import Path

READY = "listening on "
START_SECONDS = 15


class Failure(Exception):
    """A case failed; the message says how."""


def free_port():
    """A port free for UDP and for TCP a moment ago."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            port = udp.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
                try:
                    tcp.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
    raise Failure("no free port")


def words(template, values):
    """A command line's words: split as a shell would, then filled in from `values`."""
    return [word.format_map(values) for word in shlex.split(template)]


class Running:
    """A program that runs until the `with` block ends.

    `ready` is "line" (it prints `listening on ADDR:PORT`) or a TCP port it opens.
    Standard input is a pipe, closed first when the program is to end.
    """

    def __init__(self, command, log, ready="line", cwd=None):
        self.command, self.log, self.ready, self.cwd = command, Path(log), ready, cwd
        self.process = None
        self.port = None

    def __enter__(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.cwd,
                )
            except OSError as error:
                raise Failure(f"cannot start {self.command[0]}: {error}") from error
        try:
            self.wait_until_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"server ended with {self.process.returncode}: {self.tail()}")
            if self.is_ready():
                return
            time.sleep(0.02)
        raise Failure(f"server not ready in {START_SECONDS} s: {self.tail()}")

    def is_ready(self):
        if self.ready != "line":
            self.port = self.ready
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        for line in self.text().splitlines(keepends=True):
            if line.startswith(READY) and line.endswith("\n"):
                self.port = int(line.split()[2].rsplit(":", 1)[1])
                return True
        return False

    def end(self):
        """Closes the program's input, asks it to end, and then ends it."""
        self.process.stdin.close()
        try:
            self.process.wait(0.2)
        except subprocess.TimeoutExpired:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def died(self):
        """The status with which it ended by itself, if it did."""
        return self.process.poll()

    def text(self):
        return self.log.read_text(errors="replace")

    def tail(self):
        return self.text()[-600:].strip() or "(no output)"


def run(command, seconds, log):
    """Runs a client; returns (status, output's end). A client over its time is a failure."""
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        try:
            ran = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            end = log.read_text(errors="replace")[-600:]
            raise Failure(f"client not done in {seconds} s: {end}") from None
        except OSError as error:
            raise Failure(f"cannot start {command[0]}: {error}") from error
    return ran.returncode, log.read_text(errors="replace")[-600:].strip()
