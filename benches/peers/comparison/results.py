"""What was measured, kept as JSON so that a row can be measured again alone, and shown: tables in
Markdown, a plot, and the part of a document between two marks. Runs nothing.
"""

import json
import statistics

from .programs import STACKS

COLOURS = {"protoquic": "#1463d9", "quinn": "#d97814", "s2n": "#3c9d4e", "quiche": "#8d55c7", "limit": "#9aa0a6"}


class Results:
    """All rows that were ever measured: {row: {"date", "runs": {name: [figures, ...]}}}."""

    def __init__(self, file):
        self.file = file
        self.rows = {}
        if file is not None and file.exists():
            self.rows = json.loads(file.read_text())["rows"]

    def put(self, key, measured):
        """Takes a row's place and keeps it at once, so that little is lost if the next one fails."""
        self.rows[key] = measured
        if self.file is not None:
            self.file.write_text(json.dumps({"rows": self.rows}, indent=1) + "\n")

    def lines(self, rows, table):
        """The lines of one table: (row, title, unit, {name: median}, ratio to the best peer)."""
        lines = []
        for key, row in rows.items():
            if row.table != table or key not in self.rows:
                continue
            runs = self.rows[key]["runs"]
            figures = medians(runs, lambda one, row=row: one[row.figure])
            best = max if row.higher_is_better else min
            lines.append((row, row.title, row.unit, figures, ratio(figures, best)))
            if row.table == "compare" and row.figure == "gbps":
                for side in ("server", "client"):
                    costs = medians(runs, lambda one, side=side: one[f"{side}_cpu"] / one["bytes"] * 1e9)
                    lines.append((None, f"— {side}'s processor", "s/GB", costs, ratio(costs, min)))
        return lines


def medians(runs, figure):
    """The middle figure of each stack."""
    return {name: statistics.median(figure(one) for one in many) for name, many in runs.items() if many}


def ratio(figures, best):
    """Ours to the best peer's."""
    peers = [value for name, value in figures.items() if name not in ("protoquic", "limit")]
    return figures["protoquic"] / best(peers) if peers and "protoquic" in figures and best(peers) else None


def number(value):
    """With as many digits as say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value < 1 else f"{value:.2f}"


def comparison(lines):
    """The first table, as Markdown."""
    names = [*STACKS, "limit"]
    text = [f"| | unit | {' | '.join(names)} | ratio to the best peer |", "|---|---|" + "---:|" * (len(names) + 1)]
    for _, title, unit, figures, quotient in lines:
        cells = [number(figures[name]) if name in figures else "" for name in names]
        shown = f"{quotient:.2f}" if quotient is not None else ""
        text.append(f"| {title} | {unit} | {' | '.join(cells)} | {shown} |")
    return "\n".join(text) + "\n"


def growth(lines):
    """The second table, as Markdown: our own figures only."""
    text = ["| | | protoquic |", "|---|---|---:|"]
    text += [f"| {title} | {unit} | {number(figures['protoquic'])} |" for _, title, unit, figures, _ in lines]
    return "\n".join(text) + "\n"


def plot(lines):
    """Bars for each line, each line scaled to its largest, as SVG."""
    bar, gap, left, width = 14, 16, 330, 420
    parts, y = [], 24
    for _, title, unit, figures, _ in lines:
        most = max(figures.values()) or 1
        middle = y + len(figures) * bar / 2 + 4
        parts.append(f'<text x="{left - 10}" y="{middle:.0f}" text-anchor="end">{title}, {unit}</text>')
        for name, value in figures.items():
            length = value / most * width
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 2}" fill="{COLOURS[name]}"/>')
            parts.append(f'<text x="{left + length + 5:.1f}" y="{y + bar - 4}">{name} {number(value)}</text>')
            y += bar
        y += gap
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{y}" '
        f'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def replace_between_marks(document, name, text):
    """Puts a table into a document, between `<!-- name -->` and `<!-- /name -->`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    whole = document.read_text()
    if begin not in whole or end not in whole:
        raise SystemExit(f"{document} has no marks {begin.strip()} and {end}: put them where the table belongs")
    head, rest = whole.split(begin, 1)
    document.write_text(head + begin + text + end + rest.split(end, 1)[1])
