"""Where each stack's programs are and how one is started, watched and ended. Knows no row."""

import contextlib
import json
import os
import resource
import subprocess
from pathlib import Path

STACKS = ["protoquic", "quinn", "s2n", "quiche"]
TICKS = os.sysconf("SC_CLK_TCK")
# How long any client may take, in seconds.
PATIENCE = 180


class Failure(Exception):
    """A program did not do what was asked of it."""


class Programs:
    """The built programs, ours and the peers'."""

    def __init__(self, ours, peers):
        self.perf = {"protoquic": ours / "quic_perf", "limit": peers / "limit"}
        self.perf.update({name: peers / f"{name}_perf" for name in STACKS[1:]})
        self.http3_server = ours / "quic_simple_server"
        self.relay = ours / "udp_relay"

    def missing(self, name):
        """The path of this stack's program if it is not there."""
        path = self.perf.get(name)
        if path is None:
            return f"a stack called {name}"
        return None if path.exists() else path

    def server(self, name, options):
        """The command line of a perf server."""
        return [self.perf[name], "server", "--listen", "127.0.0.1:0", *options]

    def file_server(self, name, folder, options):
        """The command line of an HTTP/3 server of a folder's files."""
        if name == "protoquic":
            start = [self.http3_server, "--listen", "127.0.0.1:0", "--idle_timeout", "30"]
            return [*start, "--quic_response_cache_dir", folder, *options]
        return self.server(name, ["--http3", folder, *options])

    def knows(self, name, role, option):
        """Whether a perf program has an option."""
        said = subprocess.run([self.perf[name], role, "--help"], capture_output=True, text=True, check=False)
        return option.replace("_", "-") in said.stdout.replace("_", "-")


class Server:
    """A running server or relay, and what it costs."""

    def __init__(self, process):
        self.process = process
        self.address = None
        for line in process.stdout:
            if line.startswith("listening on "):
                self.address = line.split()[2]
                break
        if self.address is None:
            raise Failure(f"{process.args[0]} did not begin to listen")

    def cpu(self):
        """The processor time that it has used, in seconds."""
        fields = self._read("stat").rsplit(")", 1)[1].split()
        with_ended_threads = (int(fields[11]) + int(fields[12])) / TICKS
        # Of threads that run it is known to the nanosecond.
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return max(with_ended_threads, sum(int(file.read_text().split()[0]) for file in threads) / 1e9)

    def memory(self):
        """The memory that it holds now, in bytes: its resident pages that are no file's."""
        for line in self._read("status").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise Failure("the system does not tell what memory is used")

    def _read(self, name):
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


@contextlib.contextmanager
def serving(command):
    """A server for as long as the block lasts."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()


def client(command, ready=None, while_open=None):
    """Runs a client to its end: the figures that it prints, with its processor time.

    `ready` is called when a client of many connections says that it has them, `while_open` once the
    figures are there, while the client may still be connected.
    """
    process = subprocess.Popen(
        ["timeout", str(PATIENCE), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    complaint = process.stderr.readline() if ready else ""
    if " ready in " in complaint:
        ready()
    printed = process.stdout.readline()
    if printed and while_open:
        while_open()
    complaint += process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status != 0 or not printed:
        words = " ".join(str(word) for word in command)
        raise Failure(f"{words}: status {os.waitstatus_to_exitcode(status)}: {complaint.strip()}")
    figures = json.loads(printed)
    figures["client_cpu"] = usage.ru_utime + usage.ru_stime
    return figures


def allow_many_files():
    """As many open files as the system grants: a client may have a socket for each connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
