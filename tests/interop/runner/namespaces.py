"""Two network namespaces, each with one TUN device whose other end the relay holds."""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import threading
from pathlib import Path

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DEVICE = "eth0"

# An end's own addresses, and the one of the TCP flow beside it.
ADDRESSES = {
    "client": ("193.167.0.100/24", "fd00:cafe:cafe:0::100/64", "193.167.0.90/32"),
    "server": ("193.167.100.100/24", "fd00:cafe:cafe:100::100/64", "193.167.100.110/32"),
}
HOSTS = """\
127.0.0.1 localhost
193.167.0.100 client client4
fd00:cafe:cafe:0::100 client client6
193.167.100.100 server server4 server46
fd00:cafe:cafe:100::100 server6 server46
"""


class Unpermitted(Exception):
    """This machine does not let us make namespaces."""


class Namespace:
    """One end's network. The runner's programs run in it with its names for hosts."""

    def __init__(self, name, role):
        self.name, self.role = name, role
        self.files = Path("/etc/netns") / name

    def __enter__(self):
        ran = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, check=False)
        if ran.returncode != 0:
            raise Unpermitted(ran.stderr.decode().strip())
        self.files.mkdir(parents=True, exist_ok=True)
        (self.files / "hosts").write_text(HOSTS)
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)
        shutil.rmtree(self.files, ignore_errors=True)

    def open_device(self):
        """Makes the namespace's one device; returns the file that carries its packets."""
        try:
            device = self.inside(make_device)
        except OSError as error:
            raise Unpermitted(f"no TUN device: {error}") from error
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", DEVICE, "up", "mtu", "1500")
        for address in ADDRESSES[self.role]:
            self.ip("addr", "add", address, "dev", DEVICE, *(["nodad"] if ":" in address else []))
        self.ip("route", "add", "default", "dev", DEVICE)
        self.ip("-6", "route", "add", "default", "dev", DEVICE)
        return device

    def ip(self, *words):
        subprocess.run(["ip", "-n", self.name, *words], check=True)

    def inside(self, function):
        """Calls a function inside, in a thread of its own: a namespace is a thread's."""
        outcome = []

        def call():
            try:
                with open(f"/run/netns/{self.name}") as namespace:
                    enter(namespace.fileno())
                outcome.append((function(), None))
            except BaseException as error:  # noqa: BLE001 - raised again outside
                outcome.append((None, error))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    def command(self, words):
        """The command line that runs these words inside."""
        return ["ip", "netns", "exec", self.name, *words]


def enter(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def make_device():
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    request = struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI)
    fcntl.ioctl(device, TUNSETIFF, request)
    return device
