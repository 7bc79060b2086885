"""The work a client does at a server, one function a piece; each raises `Failure` or returns.

A piece may return a remark, printed beside its PASS.
"""

import hashlib

from .process import Failure
from .stacks import SERVERS

SECONDS = 120


class Work:
    """A client at work at a server that listens on `port`."""

    def __init__(self, bench, client, server, port):
        self.bench, self.client, self.server, self.port = bench, client, server, port

    def pieces(self):
        """Names and functions of what is to be done."""
        pieces = ["index", "file", "echo", "parallel", "missing"]
        if SERVERS[self.server].numbers:
            pieces.insert(1, "number")
        return [(piece, getattr(self, piece)) for piece in pieces]

    def index(self):
        """GET / is the index page."""
        same(self.get("index", ["/"]), self.bench.material.index)

    def number(self):
        """GET /N is N bytes."""
        got = len(self.get("number", ["/1234567"]))
        if got != 1_234_567:
            raise Failure(f"{got} bytes came of 1234567")

    def file(self):
        """50 MB whose SHA-256 is known."""
        body = self.get("file", ["/blob.bin"])
        sum256 = hashlib.sha256(body).hexdigest()
        if sum256 != self.bench.material.blob_sha256:
            raise Failure(f"{len(body)} bytes with SHA-256 {sum256}")

    def echo(self):
        """5 MB posted come back, byte for byte."""
        body = self.bench.material.body
        same(self.get("echo", ["/echo"], post=body), body.read_bytes())

    def parallel(self):
        """100 small files on one connection, in any order of names."""
        material = self.bench.material
        bodies = self.get("parallel", material.urls_in_parallel())
        if sorted(bodies) != sorted(material.parallel):
            raise Failure(f"{len(bodies)} bodies, not the {len(material.parallel)} expected")

    def missing(self):
        """A client says by its status that there was no such file."""
        # A client that cannot work at all would fail here too: first let it show that it can.
        self.index()
        with self.bench.place_for(self.label("missing")) as output:
            log = f"{self.label('missing')}.client.log"
            status, said = self.bench.client(
                self.client, self.port, ["/no/such/file"], output, log, SECONDS
            )
        if status == 0:
            raise Failure(f"status 0 for a file that is not there: {said}")

    def get(self, piece, paths, post=None, seconds=SECONDS):
        """The body of one path, or the list of bodies of several."""
        label = self.label(piece)
        with self.bench.place_for(label) as output:
            log = f"{label}.client.log"
            status, said = self.bench.client(
                self.client, self.port, paths, output, log, seconds, post
            )
            if status != 0:
                raise Failure(f"client ended with {status}: {said}")
            if output.is_dir():
                files = [file for file in output.rglob("*") if file.is_file()]
                bodies = [file.read_bytes() for file in files]
                return bodies if len(paths) > 1 else bodies[0]
            if len(paths) > 1 or not output.exists():
                raise Failure(f"client wrote no {'directory' if len(paths) > 1 else 'file'}")
            return output.read_bytes()

    def label(self, piece):
        return f"{self.client}-{self.server}-{piece}"


def same(got, expected):
    """Fails unless the bytes are the same; says where they are not."""
    if got == expected:
        return
    if len(got) != len(expected):
        raise Failure(f"{len(got)} bytes came of {len(expected)}")
    wrong = next(at for at, pair in enumerate(zip(got, expected)) if pair[0] != pair[1])
    raise Failure(f"byte {wrong} of {len(expected)} differs")
