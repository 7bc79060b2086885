"""The stacks of `stacks.toml`: for each, the command lines of its ends.

A command line has holes: {root} (the checkout), {bin} (protoquic's programs), {peers} (the
peers' programs), {python}, {here} (tests/interop/peers), {debian} (a root with newer programs).
All else a program is told as the runner tells it, in environment variables.
"""

import shlex
import tomllib
from dataclasses import dataclass


@dataclass
class End:
    """One role of a stack."""

    stack: str
    command: str
    protocols: tuple
    # Cases it cannot play, and cases it fails with others too: why, by name.
    unsupported: dict
    defects: dict

    def words(self, places):
        return [word.format_map(places) for word in shlex.split(self.command)]


@dataclass
class Stack:
    """A stack's two ends, and what it is."""

    name: str
    description: str
    server: End = None
    client: End = None


def load(path):
    stacks = {}
    for name, table in tomllib.loads(path.read_text()).items():
        stack = stacks[name] = Stack(name, table["description"])
        for role in ("server", "client"):
            if role in table:
                setattr(stack, role, end(name, table[role]))
    return stacks


def end(name, table):
    return End(
        name,
        table["command"],
        tuple(table.get("protocols", ["hq", "h3"])),
        table.get("unsupported", {}),
        table.get("defects", {}),
    )


def protocol(case, client, server):
    """The HTTP of a case between two ends: its own, or HTTP/3 where one has nothing else."""
    if case.protocol == "hq" and "hq" in client.protocols and "hq" in server.protocols:
        return "hq"
    return "h3" if "h3" in client.protocols and "h3" in server.protocols else None
