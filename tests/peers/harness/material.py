"""What every case works on: certificates, a directory of files, a body. Made anew each run."""

import base64
import hashlib
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BLOB_BYTES = 50_000_000
BODY_BYTES = 5_000_000
PARALLEL = 100

LEAF_EXTENSIONS = """\
subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
"""

INDEX = """\
<!doctype html>
<html lang="en"><title>protoquic peers</title>
<h1>It works</h1>
<p>This page came from the test directory of tests/peers.</p>
</html>
"""


@dataclass(frozen=True)
class Material:
    """Paths and sums of what `make` made."""

    ca: Path
    cert: Path
    key: Path
    # Base64 of the SHA-256 of the leaf's public key, as Chromium's exemption list wants it.
    spki: str
    # Plain files, and the same files as Chromium's response cache wants them.
    www: Path
    cache: Path
    body: Path
    index: bytes
    blob_sha256: str
    parallel: tuple

    def urls_in_parallel(self):
        """Paths of the many small files."""
        return [f"/parallel/{number}.txt" for number in range(PARALLEL)]


def make(directory):
    """Makes all of it under `directory`."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    ca, cert, key = certificates(directory)
    rng = random.Random(1)
    blob = rng.randbytes(BLOB_BYTES)
    blob_sha256 = hashlib.sha256(blob).hexdigest()
    body = directory / "body.bin"
    body.write_bytes(rng.randbytes(BODY_BYTES))
    parallel = tuple(f"file {number}\n".encode() * (number + 1) for number in range(PARALLEL))

    here = Path(__file__).parent
    page = (here / "page.html").read_text().replace("@SHA256@", blob_sha256)
    page = page.replace("@PARALLEL@", str(PARALLEL)).replace("@BODY@", str(BODY_BYTES))
    files = {"index.html": INDEX.encode(), "page.html": page.encode(), "blob.bin": blob}
    files |= {f"parallel/{number}.txt": content for number, content in enumerate(parallel)}
    www, cache = directory / "www", directory / "cache"
    for name, content in files.items():
        write(www / name, content)
        write_cached(cache, name, content)
    return Material(
        ca, cert, key, spki(cert), www, cache, body, INDEX.encode(), blob_sha256, parallel
    )


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_cached(cache, name, content):
    """A response as `wget --save-headers` saves it: HTTP/1.1 head, empty line, body."""
    kinds = {".html": "text/html; charset=utf-8", ".txt": "text/plain"}
    kind = kinds.get(os.path.splitext(name)[1], "application/octet-stream")
    path = "" if name == "index.html" else name
    head = (
        "HTTP/1.1 200 OK\r\n"
        f"Content-Type: {kind}\r\n"
        f"Content-Length: {len(content)}\r\n"
        f"X-Original-Url: https://localhost/{path}\r\n"
        "\r\n"
    )
    write(cache / "localhost" / name, head.encode() + content)


def certificates(directory):
    """An authority and a leaf it signed, both P-256; paths of authority, chain and key."""
    ca_key, ca = directory / "ca.key", directory / "ca.pem"
    key, request, cert = directory / "key.pem", directory / "leaf.csr", directory / "cert.pem"
    extensions = directory / "leaf.ext"
    extensions.write_text(LEAF_EXTENSIONS)
    p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    openssl("genpkey", *p256, "-out", ca_key)
    openssl("genpkey", *p256, "-out", key)
    # fmt: off
    openssl("req", "-x509", "-new", "-key", ca_key, "-sha256", "-days", "30", "-out", ca,
            "-subj", "/CN=protoquic test authority",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-new", "-key", key, "-subj", "/CN=localhost", "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
            "-days", "14", "-sha256", "-extfile", extensions, "-out", cert)
    # fmt: on
    return ca, cert, key


def spki(cert):
    """Base64 of the SHA-256 of a certificate's SubjectPublicKeyInfo."""
    pem = openssl("x509", "-in", cert, "-noout", "-pubkey").decode()
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def openssl(*words):
    if shutil.which("openssl") is None:
        raise SystemExit("openssl is missing: it makes the certificates of the tests")
    ran = subprocess.run(["openssl", *map(str, words)], capture_output=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"openssl {words[0]}: {ran.stderr.decode()}")
    return ran.stdout
