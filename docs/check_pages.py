#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the Markdown pages: links lead somewhere, and snippets are what the compiled examples say.

A block of code under a line `<!-- examples/FILE -->` must stand in that file, white space aside.
Run from anywhere; links to other sites are not followed. Paths in code spans that look like files of
this tree (`crdt/joinery/or_set.hpp`) are checked as well, so that pages do not outlive what they describe.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
SPAN = re.compile(r"`([^`\n]+)`")
SNIPPET = re.compile(r"<!-- (\S+) -->\n```\w*\n(.*?)^```", re.M | re.S)
TREE_FILE = re.compile(
    r"(?:include|crdt|sync|transport|testing|tests|property_tests|fuzz|examples|bench|docs|packaging|tools)/[\w./-]*\w\.\w+")


def anchors(page):
    """The ids that headings of a page get."""
    found = set()
    for line in FENCE.sub("", page.read_text()).splitlines():
        heading = re.match(r"#+\s+(.*)", line)
        if heading:
            text = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
            number = 1
            slug = text
            while slug in found:
                slug, number = f"{text}-{number}", number + 1
            found.add(slug)
    return found


def problems(page):
    text = FENCE.sub("", page.read_text())
    for target in LINK.findall(SPAN.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"leads nowhere: {target}"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"no such heading: {target}"
    for span in SPAN.findall(text):
        if TREE_FILE.fullmatch(span) and not (ROOT / span).exists():
            yield f"names a file that is not there: {span}"
    for file, block in SNIPPET.findall(page.read_text()):
        if not (ROOT / file).exists():
            yield f"takes a snippet from a file that is not there: {file}"
        elif squeezed(block) not in squeezed((ROOT / file).read_text()):
            yield f"a snippet is not in {file}: {block.strip().splitlines()[0]}"


def squeezed(code):
    """Code without blank lines and indentation."""
    return "\n".join(line.strip() for line in code.splitlines() if line.strip())


def main():
    pages = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    failures = [f"{page.relative_to(ROOT)}: {p}" for page in pages for p in problems(page)]
    print(*failures, sep="\n", end="\n" if failures else "")
    print(f"{len(pages)} pages: {len(failures)} problems")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
