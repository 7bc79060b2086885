"""Certificates and files, made anew for each run."""

import os
import random
import string
import subprocess

SANS = "DNS:server,DNS:server4,DNS:server6,DNS:server46"
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,digitalSignature\n"
LEAF = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
# What makes a long chain long: names on its certificates.
EXTRA_NAMES, EXTRA_LENGTH = 20, 250


def certificates(folder, length):
    """An authority, and a chain of so many certificates it signed: `cert.pem`, `priv.key`, `ca.pem`.

    The chain has the leaf first and not the authority.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{n}" for n in range(length)] + ["leaf"]
    key(folder / "0.key")
    openssl(
        ["req", "-x509", "-new", "-key", folder / "0.key", "-days", "10", "-out", folder / "0.pem"]
        + ["-subj", "/CN=interop authority", "-addext", "basicConstraints=critical,CA:TRUE"]
        + ["-addext", "keyUsage=critical,keyCertSign"]
    )
    for issuer, name in zip(names, names[1:], strict=False):
        signed(folder, issuer, name, is_long=length > 1)
    chain = [(folder / f"{name}.pem").read_text() for name in reversed(names[1:])]
    (folder / "cert.pem").write_text("".join(chain))
    (folder / "leaf.key").rename(folder / "priv.key")
    (folder / "0.pem").rename(folder / "ca.pem")


def signed(folder, issuer, name, is_long):
    extensions = AUTHORITY
    if name == "leaf":
        extensions = LEAF + f"subjectAltName={SANS}"
        if is_long:
            extensions += "".join(f",DNS:{long_name(n)}" for n in range(EXTRA_NAMES))
    (folder / "extensions").write_text(extensions + "\n")
    key(folder / f"{name}.key")
    request = folder / "request.csr"
    openssl(
        ["req", "-new", "-key", folder / f"{name}.key", "-subj", f"/CN=interop {name}"]
        + ["-out", request]
    )
    openssl(
        ["x509", "-req", "-in", request, "-CA", folder / f"{issuer}.pem", "-sha256"]
        + ["-CAkey", folder / f"{issuer}.key", "-CAcreateserial", "-days", "10"]
        + ["-extfile", folder / "extensions", "-out", folder / f"{name}.pem"]
    )


def long_name(number):
    """A host's name of 250 characters, in labels of at most 63."""
    text = random.Random(number).choices(string.ascii_lowercase, k=EXTRA_LENGTH)
    for place in range(62, EXTRA_LENGTH - 1, 63):
        text[place] = "."
    return "".join(text)


def key(path):
    openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path])


def openssl(words):
    ran = subprocess.run(["openssl", *map(str, words)], capture_output=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"openssl {words[0]}: {ran.stderr.decode()}")


def files(folder, sizes, name_length, seed):
    """Random files of these sizes; returns their sizes by name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    made = {}
    while len(made) < len(sizes):
        name = "".join(rng.choices(string.ascii_lowercase, k=name_length))
        if name not in made:
            size = sizes[len(made)]
            (folder / name).write_bytes(rng.randbytes(size))
            made[name] = size
    return made


def differences(www, downloads, sizes):
    """What the runner says of a client's folder, or None if all is well."""
    there = set(os.listdir(downloads))
    missing, extra = sizes.keys() - there, there - sizes.keys()
    if missing:
        return f"{len(missing)} of {len(sizes)} files are missing"
    if extra:
        return f"{len(extra)} files are too many"
    for name in sizes:
        if (www / name).read_bytes() != (downloads / name).read_bytes():
            return f"a file of {sizes[name]} bytes differs"
    return None
