#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One table of the figures that programs print, a JSON object a line: rows are what was measured on which trace, columns
are the libraries. Where a library measures the same in several variants, the first of them is shown: its default."""
import collections
import json
import sys

ORDER = ["gap buffer", "joinery", "diamond-types", "cola", "yrs", "loro", "automerge", "yjs", "json-joy"]


def shown(value):
    if value is None:
        return "too long"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def main(path):
    rows = collections.OrderedDict()
    peers = set()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            figure = json.loads(line)
            row = (figure["trace"], figure["column"], figure["unit"] or "")
            rows.setdefault(row, {}).setdefault(figure["peer"], figure["value"])
            peers.add(figure["peer"])
    columns = [p for p in ORDER if p in peers] + sorted(peers - set(ORDER))
    print("| trace | figure | " + " | ".join(columns) + " |")
    print("|---|---|" + "--:|" * len(columns))
    for (trace, column, unit), values in rows.items():
        cells = [shown(values[p]) if p in values else "" for p in columns]
        print(f"| {trace} | {column}, {unit} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1])
