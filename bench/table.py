#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two tables of the figures that programs print, a JSON object a line.

In the first, rows are what was measured on which trace, columns are the libraries. Where a library measures the same in
several variants, the first of them is shown: its default. In the second, each row sets joinery beside one other, which is
the best of those that are compared, in the best of its variants.
"""
import collections
import json
import sys

NATIVE = ["diamond-types", "yrs", "loro", "automerge"]
# What keeps a text, as cola does not.
TEXTS = NATIVE + ["yjs", "json-joy"]
ORDER = ["gap buffer", "joinery", "diamond-types", "cola", "yrs", "loro", "automerge", "yjs", "json-joy"]

# A save without history: nothing merges with it that was made beside what it has.
SHALLOW = "shallow snapshot"

# Of figures on every trace: what it is, the column, who is compared, and in which variants not.
ON_TRACES = [
    ("all patches in one transaction", "local", ["gap buffer"], []),
    ("all patches in one transaction", "local", NATIVE, []),
    ("updates applied one by one", "remote", ["cola"], []),
    ("updates applied one by one", "remote", ["diamond-types"], []),
    ("a history merged", "merge", NATIVE, []),
    ("opened and read", "open", TEXTS, []),
    ("opened and read", "open", TEXTS, [SHALLOW]),
    ("saved", "bytes", TEXTS, []),
    ("saved", "bytes", TEXTS, [SHALLOW]),
    ("saved and compressed", "bytes_zstd", TEXTS, []),
    ("saved and compressed", "bytes_zstd", TEXTS, [SHALLOW]),
    ("an update", "bytes_per_keystroke", TEXTS + ["cola"], []),
    ("memory of the writer", "heap_local", TEXTS, []),
    ("memory of the reader", "heap_remote", TEXTS, []),
]
SMALL_TEXT = 40  # bytes


class Figures:
    """Figures by (trace, column), then by peer: all variants, as pairs of a value and the variant's name."""

    def __init__(self, lines):
        self.rows = collections.OrderedDict()
        self.units = {}
        self.versions = {}
        self.platform = ""
        for line in lines:
            figure = json.loads(line)
            if "processor" in figure:
                self.platform = f"{figure['processor']}, {figure['compiler']}"
                continue
            row, peer = (figure["trace"], figure["column"]), figure["peer"]
            variants = self.rows.setdefault(row, {}).setdefault(peer, [])
            variants.append((figure["value"], figure.get("variant", "")))
            self.units[row] = self.units.get(row) or figure["unit"]
            self.versions[peer] = figure["version"]

    def peers(self):
        return [p for p in ORDER if p in self.versions] + sorted(set(self.versions) - set(ORDER))

    def best(self, row, peers, without=()):
        """The least value, and whose it is; None if none of them has any."""
        found = [(value, f"{peer} ({variant})" if variant else peer)
                 for peer in peers for value, variant in self.rows.get(row, {}).get(peer, [])
                 if value is not None and variant not in without]
        return min(found, default=None)


def shown(value):
    if value is None:
        return "too long"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def print_figures(figures):
    peers = figures.peers()
    print("| trace | figure | " + " | ".join(peers) + " |")
    print("|---|---|" + "--:|" * len(peers))
    for (trace, column), values in figures.rows.items():
        cells = [shown(values[p][0][0]) if p in values else "" for p in peers]
        print(f"| {trace} | {column}, {figures.units[trace, column]} | " + " | ".join(cells) + " |")


def ratios(figures):
    """Rows: what, the trace and the column, joinery's figure, the other's and its name."""
    def beside(what, row, other):
        ours = figures.best(row, ["joinery"])
        return [(what, *row, ours[0], *other)] if ours and other else []

    traces = list(dict.fromkeys(trace for trace, column in figures.rows if column == "merge"))
    rows = []
    for what, column, peers, without in ON_TRACES:
        compared = [beside(what, (trace, column), figures.best((trace, column), peers, without)) for trace in traces]
        rows += [row for found in compared for row in found if row not in rows]
    for trace in traces:
        rows += beside("a history merged, and edited", (trace, "merge_edit"), figures.best((trace, "merge"), NATIVE))
    for trace in traces:
        local = figures.best((trace, "local"), ["joinery"])
        rows += beside("a transaction and an update a patch", (trace, "local_delta"), named(local, "joinery: local"))
    for trace in "random-insert", "random-insert-in-pieces":
        rows += beside("an insert at random", (trace, "time"), figures.best((trace, "time"), ["cola"]))
    few = figures.best(("prepend-2000", "time"), ["joinery"])
    rows += beside("a prepended character", ("prepend-20000", "time"), named(few, "joinery: prepend-2000"))
    rows += beside("memory of a small text", ("small-texts", "bytes_each"), (SMALL_TEXT, "its characters"))
    return rows


def named(figure, name):
    return (figure[0], name) if figure else None


def print_ratios(figures):
    print("| what | trace | figure | joinery | other | | ratio |")
    print("|---|---|---|--:|--:|---|--:|")
    for what, trace, column, ours, value, name in ratios(figures):
        ratio = f"{ours / value:.2f}" if value else ""
        print(f"| {what} | {trace} | {column}, {figures.units[trace, column]} | {shown(ours)} | {shown(value)} | {name} "
              f"| {ratio} |")


def main(path):
    with open(path, encoding="utf-8") as lines:
        figures = Figures(lines)
    versions = ", ".join(f"{p} {figures.versions[p]}" for p in figures.peers() if figures.versions[p])
    print(f"{figures.platform}; {versions}\n")
    print_figures(figures)
    print()
    print_ratios(figures)


if __name__ == "__main__":
    main(sys.argv[1])
