#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Line coverage of the decoders by the corpora: coverage.py BUILD [--lines] [--all]

BUILD was configured for clang's source-based coverage (./dev fuzz coverage does that). Each corpus is replayed, and what
counts are the lines of decoding functions: those that take a compact_input_archive or belong to it, and those that
DECODERS names. Encoding, which shares files with them, does not count. Fails if fewer than LEAST of a hundred lines were
run, or of those of one file fewer than LEAST_OF_A_FILE: some have a few that are for memory that is full. --lines shows those that were not; --all counts all lines of the files in sync/ too.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

LEAST, LEAST_OF_A_FILE = 95.0, 85.0
# In what c++filt makes of a function's name.
DECODERS = re.compile(
    r"compact_input_archive|\bread_varint\b|\bunzigzag\b"
    r"|joinery::decode<|\bdecode_alone\b|\bdecode_utf8\b|\bmeasure_utf8\b|\btake_code_point\b"
    r"|\bopen_frame\b|\bopen_stored\b|\bparts_of\b|\bstaged_answer::|\bread_item\b|\bload_members\b"
    r"|\bcoverage_of\b|\bedit_dots\b|\bedit_start::of\b|\bdelta_head::read\b|\bmessage_reader::|edits_in_a_row::next"
    r"|\bunique_id::parse|\bpeer_key::parse|document_path::document_path\(std::basic_string_view"
    r"|::import_json\(|\(anonymous namespace\)::builder::|\bzstd_decompress\b"
    r"|\bdecode_control|\bdecode_broadcast|\bdecode_welcome|\bdecode_body|zmq_address::parse|publish_endpoint")
# What is told of changes as a decoder goes on.
NOT_DECODERS = re.compile(r"\bnote_observed<|::noting<")
FOLDERS = ("include/", "crdt/", "sync/", "transport/")


def tool(name):
    for candidate in (name + "-14", name):
        if subprocess.run(["which", candidate], capture_output=True).returncode == 0:
            return candidate
    sys.exit(f"{name} is missing")


def replay(program, corpus, profile):
    environment = dict(os.environ, LLVM_PROFILE_FILE=str(profile))
    return subprocess.run([program, corpus], env=environment, capture_output=True, text=True)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    build = pathlib.Path(sys.argv[1]).resolve()
    programs = sorted(p for p in (build / "fuzz").glob("replay_*") if p.is_file())
    if not programs:
        sys.exit(f"{build}: no replays")
    profiles = build / "profiles"
    profiles.mkdir(exist_ok=True)
    jobs = int(os.environ.get("JOINERY_JOBS", os.cpu_count() or 1))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = {}
        for p in programs:
            name = p.name.removeprefix("replay_")
            runs[name] = pool.submit(replay, p, root / "fuzz/corpus" / name, profiles / (name + ".profraw"))
        for name, run in runs.items():
            if run.result().returncode != 0:
                sys.exit(f"{name} failed:\n{run.result().stdout[-300:]}{run.result().stderr[-2000:]}")
    merged = profiles / "all.profdata"
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "-o", merged]
                   + [profiles / (name + ".profraw") for name in runs], check=True)

    def export(form):
        objects = [a for p in programs[1:] for a in ("-object", p)]
        command = [tool("llvm-cov"), "export", f"-format={form}", f"-instr-profile={merged}", programs[0], *objects]
        if form == "text":
            command.append("-skip-expansions")
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def of_ours(name):
        try:
            name = str(pathlib.Path(os.path.normpath(build / name)).relative_to(root))
        except ValueError:
            return None
        return name if name.startswith(FOLDERS) else None

    counts = {}  # file: line: how often
    lines = None
    for line in export("lcov").splitlines():
        if line.startswith("SF:"):
            name = of_ours(line[3:])
            lines = counts.setdefault(name, {}) if name else None
        elif line.startswith("DA:") and lines is not None:
            number, count = line[3:].split(",")[:2]
            lines[int(number)] = max(int(count), lines.get(int(number), 0))

    functions = [(f["name"].rpartition(":")[2] if ".cpp:" in f["name"] else f["name"], f["filenames"], f["regions"])
                 for f in json.loads(export("text"))["data"][0]["functions"]]
    names = subprocess.run(["c++filt"], input="\n".join(f[0] for f in functions), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    decoding = collections.defaultdict(set)
    for name, (_, files, regions) in zip(names, functions):
        file = of_ours(files[0])
        if file and (DECODERS.search(name) and not NOT_DECODERS.search(name) or ("--all" in sys.argv and file.startswith("sync/"))):
            decoding[file].update(range(regions[0][0], regions[0][2] + 1))

    def show(what, run, all_lines):
        print(f"{what:42}{run:6} of {all_lines:6}  {100 * run / all_lines:6.2f} %")

    total = total_run = 0
    poor = []
    for file in sorted(decoding):
        counted = sorted(n for n in decoding[file] if n in counts[file])
        missed = [n for n in counted if counts[file][n] == 0]
        if not counted:
            continue
        total += len(counted)
        total_run += len(counted) - len(missed)
        show(file, len(counted) - len(missed), len(counted))
        if "--lines" in sys.argv:
            text = (root / file).read_text().splitlines()
            for n in missed:
                print(f"    {n:5} {text[n - 1]}")
        if 100 * (len(counted) - len(missed)) < LEAST_OF_A_FILE * len(counted):
            poor.append(file)
    show("decoders", total_run, total)
    if 100 * total_run < LEAST * total:
        poor.append("all of them")
    if poor and "--all" not in sys.argv:
        sys.exit("too few lines were run: " + ", ".join(poor))


main()
