"""The bench a run works at: material, places, and how to start a stack's program there."""

import contextlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from . import process, stacks
from .material import Material

HOST = "127.0.0.1"


@dataclass
class Bench:
    """Where everything is. `output` keeps logs and pictures, `scratch` what clients write."""

    material: Material
    bin: Path
    peers: Path
    relay: Path
    chromium: str
    output: Path
    scratch: Path

    def places(self):
        here = Path(__file__).resolve().parent.parent
        return {"bin": self.bin, "peers": self.peers, "python": sys.executable, "here": here}

    def server(self, name, log):
        """The server `name`, to be used in `with`; its `.port` is then known."""
        stack, material = stacks.SERVERS[name], self.material
        port = 0 if stack.line else process.free_port()
        caddyfile = self.scratch / f"Caddyfile.{port}"
        values = self.places() | {
            "listen": f"{HOST}:{port}",
            "port": port,
            "cert": material.cert,
            "key": material.key,
            "www": material.www,
            "cache": material.cache,
            "caddyfile": caddyfile,
        }
        if not stack.line:
            caddyfile.write_text(stacks.CADDYFILE.format_map(values))
        command = process.words(stack.command, values)
        return process.Running(command, self.output / log, "line" if stack.line else port)

    def through_relay(self, port, options, log):
        """The relay before a server's port, to be used in `with`."""
        command = [str(self.relay), "--to", f"{HOST}:{port}", *shlex.split(options)]
        return process.Running(command, self.output / log)

    def client(self, name, port, paths, output, log, seconds, post=None):
        """Runs the client `name` on the paths; returns its status and its words' end."""
        stack = stacks.CLIENTS[name]
        values = self.places() | {
            "connect": f"{HOST}:{port}",
            "host": HOST,
            "port": port,
            "ca": self.material.ca,
            "output": output,
            "body": post,
        }
        command = []
        for word in shlex.split(stack.get if post is None else stack.post):
            if word == "{urls}":
                command += [f"https://localhost:{port}{path}" for path in paths]
            else:
                command.append(word.format_map(values))
        return process.run(command, seconds, self.output / log)

    @contextlib.contextmanager
    def place_for(self, name):
        """A path for a client's output that is gone afterwards, be it a file or a directory."""
        path = self.scratch / name.replace("/", "_")
        remove(path)
        try:
            yield path
        finally:
            remove(path)


def remove(path):
    """Removes a file or a tree, if it is there."""
    if path.is_dir():
        for child in path.iterdir():
            remove(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
