"""Results: printed as they come, kept in a JSON file from run to run, and as the table of
docs/interop.md."""

import datetime
import json
import statistics
import threading

HEAD = """\
# Interoperability

Made by `tests/interop/run`; not to be edited. The cases, their networks and their checks are the
QUIC interop runner's; [tests/interop/README.md](../tests/interop/README.md) tells how to run them.

A cell is `yes`, `-` where one of both ends does not support the case, `theirs` where it fails for a
reason that is the peer's, as it fails with others than us too, or **no**. Below are the reasons. Goodput (10 MB) and
crosstraffic (25 MB beside a TCP CUBIC flow) are in kbit/s over a link of 10 Mbit/s and 30 ms, mean
and standard deviation of the runs that are named behind them.

"""


class Results:
    """What came out, by client, server and case."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.all = json.loads(path.read_text()) if path and path.is_file() else {}
        self.passed = self.failed = self.unsupported = self.peer = 0

    def add(self, client, server, case, outcomes):
        last = outcomes[-1]
        figures = [outcome.figure for outcome in outcomes if outcome.figure is not None]
        entry = {"result": last.result, "words": last.words, "figures": figures}
        entry["date"] = datetime.date.today().isoformat()
        line = f"{last.result.upper():11} {client}->{server} {case.name}"
        line += f" {sum(outcome.seconds for outcome in outcomes):.1f} s"
        if figures:
            line += f" {spread(figures)} kbit/s"
        with self.lock:
            print(f"{line} {last.words}".rstrip(), flush=True)
            self.all.setdefault(f"{client}:{server}", {})[case.name] = entry
            setattr(self, last.result, getattr(self, last.result) + 1)
            self.save()

    def save(self):
        if self.path:
            self.path.write_text(json.dumps(self.all, indent=1, sort_keys=True) + "\n")

    def end(self):
        """Prints the sum; returns the exit status."""
        print(
            f"{self.passed} passed, {self.failed} failed, {self.peer} failed by the peer's doing, "
            f"{self.unsupported} not supported"
        )
        return 1 if self.failed or not self.passed else 0


def spread(figures):
    mean = statistics.mean(figures)
    deviation = statistics.stdev(figures) if len(figures) > 1 else 0
    return f"{mean:.0f} ± {deviation:.0f} ({len(figures)})"


def table(results, stacks, cases):
    """Both directions of every pair, a row for each case."""
    text = HEAD + "".join(
        f"- **{stack.name}**: {stack.description}\n" for stack in stacks.values()
    )
    text += "\nThe client is named first.\n\n"
    pairs = sorted(results.all, key=lambda pair: (pair.split(":") != ["protoquic"] * 2, pair))
    for title, chosen in groups(pairs):
        text += f"## {title}\n\n"
        text += "| case | " + " | ".join(label(pair) for pair in chosen) + " |\n"
        text += "|---|" + "---|" * len(chosen) + "\n"
        for case in cases:
            cells = [cell(results.all[pair].get(case.name)) for pair in chosen]
            if any(cells):
                text += f"| {case.name} ({case.abbreviation}) | " + " | ".join(cells) + " |\n"
        text += "\n"
    for title, result in REASONS.items():
        text += reasons(title, result, results, pairs)
    return text


REASONS = {
    "What failed": "failed",
    "What fails by the peer's doing": "peer",
    "What is not supported": "unsupported",
}


def reasons(title, result, results, pairs):
    """Why cells are what they are: each reason once, with the cases that it is given for."""
    found = {}
    for pair in pairs:
        for name, entry in results.all[pair].items():
            if entry["result"] == result:
                by_pair = found.setdefault(entry["words"], {})
                by_pair.setdefault(pair.replace(":", " to "), []).append(name)
    if not found:
        return ""
    lines = []
    for words, by_pair in found.items():
        where = "; ".join(f"{pair}: {', '.join(names)}" for pair, names in by_pair.items())
        lines.append(f"- {where}: {words}\n")
    return f"## {title}\n\n" + "".join(lines) + "\n"


def groups(pairs):
    ours = [pair for pair in pairs if pair == "protoquic:protoquic"]
    client = [pair for pair in pairs if pair.startswith("protoquic:") and pair not in ours]
    server = [pair for pair in pairs if pair.endswith(":protoquic") and pair not in ours]
    others = [pair for pair in pairs if pair not in ours + client + server]
    named = [
        ("protoquic with itself", ours),
        ("Our client, other servers", client),
        ("Other clients, our server", server),
        ("Others among themselves", others),
    ]
    return [(title, chosen) for title, chosen in named if chosen]


def label(pair):
    client, server = pair.split(":")
    if client == server:
        return client
    return server if client == "protoquic" else client if server == "protoquic" else pair


def cell(entry):
    if entry is None:
        return ""
    if entry["result"] == "passed":
        return spread(entry["figures"]) if entry["figures"] else "yes"
    return {"unsupported": "-", "peer": "theirs"}.get(entry["result"], "**no**")
