#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public header compiles alone, and twice, with only its own layer's include roots.

Each is a compile of its own, by the compiler of the build, with warnings as errors. The first of the two includes shows that the header brings what it needs, the second that it is guarded, the
include roots that it reaches no layer above its own. Libraries live in system folders, which no include
root can hide, so their includes are compared with what each layer may use.

A header is skipped while neither it nor anything it includes has changed since it last passed.

What users get wrong does not compile, and the compiler says what is wrong: not_a_crdt.cpp.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOTS = {
    "include": ["include"],
    "crdt": ["include", "crdt"],
    "sync": ["include", "crdt", "sync"],
    "transport": ["include", "crdt", "sync", "transport"],
    "testing": ["include", "crdt", "sync", "transport", "testing"],
    "tools": ["include", "crdt", "sync", "transport", "tools"],
}
FLAGS = ["-fsyntax-only", "-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]

# Which library headers may be included where; the standard library's have no slash and no suffix.
HEADER_LIBRARIES = re.compile(r"cereal/|tl/expected\.hpp$|joinery/")
SOURCE_LIBRARIES = [  # library, the sources that may include it
    (re.compile(r"sqlite3"), re.compile(r"sync/sqlite_\w+\.[ch]pp$|tools/stored_file\.cpp$")),
    (re.compile(r"zmq\.h"), re.compile(r"transport/zmq_\w+\.cpp$")),
    (re.compile(r"sodium"), re.compile(r"sync/encrypted_storage\.cpp$")),
    (re.compile(r"rapidjson/"), re.compile(r"crdt/document_json\.cpp$|tools/json_value\.cpp$")),
]
INCLUDE = re.compile(r"^\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", re.M)


def includes(path):
    return INCLUDE.findall(path.read_text())


def misplaced_includes(source):
    """Library includes that break the layering, as messages."""
    for layer in ROOTS:
        for header in sorted((source / layer / "joinery").rglob("*.hpp")):
            for name in includes(header):
                standard = re.fullmatch(r"[a-z_0-9]+", name)
                testing = layer == "testing" and name in ("rapidcheck.h", "doctest/doctest.h")
                if not (standard or testing or HEADER_LIBRARIES.match(name)):
                    yield f"{header}: includes <{name}>, which users of the header need not have"
        for private in sorted((source / layer).glob("*.?pp")):
            for name in includes(private):
                for library, allowed in SOURCE_LIBRARIES:
                    if library.match(name) and not allowed.search(str(private)):
                        yield f"{private}: includes <{name}>, which belongs in {allowed.pattern}"


def fresh(stamp):
    """True if the stamp's dependency file lists only files older than the stamp."""
    depfile = stamp.with_suffix(".d")
    if not stamp.exists() or not depfile.exists():
        return False
    passed = stamp.stat().st_mtime
    files = depfile.read_text().replace("\\\n", " ").split()[1:]
    return all(os.path.exists(f) and os.stat(f).st_mtime < passed for f in files)


def check(compiler, layer, header, source, build):
    """Compiles one header; gives the compiler's complaint, empty if none."""
    name = header.relative_to(source / layer)
    stem = build / f"{compiler}-{layer}-{str(name).replace('/', '-').removesuffix('.hpp')}"
    stamp = stem.with_suffix(".ok")
    if fresh(stamp):
        return ""
    unit = stem.with_suffix(".cpp")
    unit.write_text(f"#include <{name}>\n#include <{name}>\n")
    command = [compiler, *FLAGS, "-MD", "-MF", str(stem.with_suffix(".d"))]
    command += [f"-I{source / root}" for root in ROOTS[layer]]
    stamp.unlink(missing_ok=True)
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True)
    if done.returncode:
        return f"{compiler} refuses {layer}/{name} on its own:\n{done.stderr}"
    stamp.touch()
    return ""


def check_refusal(compiler, source):
    """Compiles what must not compile; gives what is wrong with the compiler's answer, empty if nothing."""
    unit = source / "tests" / "headers" / "not_a_crdt.cpp"
    command = [compiler, "-fsyntax-only", "-std=c++20"] + [f"-I{source / root}" for root in ROOTS["testing"]]
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True)
    if not done.returncode:
        return f"{compiler} accepts {unit}"
    missing = [line for line in re.findall(r"^// error: (.*)$", unit.read_text(), re.M) if line not in done.stderr]
    return f"{compiler} does not say of {unit}: {missing}\n{done.stderr}" if missing else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)

    headers = [(layer, h) for layer in ROOTS for h in sorted((args.source / layer / "joinery").rglob("*.hpp"))]
    jobs = int(os.environ.get("JOINERY_JOBS") or os.cpu_count())
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(check, args.compiler, l, h, args.source, args.build) for l, h in headers]
        tasks.append(pool.submit(check_refusal, args.compiler, args.source))
        failures = [message for message in (t.result() for t in tasks) if message]
    failures += misplaced_includes(args.source)

    for message in failures:
        print(message)
    print(f"{len(headers)} headers, {args.compiler}: {len(failures)} failures")
    return 1 if failures or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
