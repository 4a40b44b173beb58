#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints how many test cases passed and failed, from meson's testlog.json.

A doctest program counts as its cases, any other as one; a program that died counts as one failure.
"""
import json
import pathlib
import re
import sys

CASES = re.compile(r"test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed")


def totals(log):
    passed = failed = 0
    for line in log.read_text().splitlines():
        test = json.loads(line)
        good = test["result"] in ("OK", "EXPECTEDFAIL")
        cases = CASES.search(re.sub(r"\x1b\[[0-9;]*m", "", test.get("stdout", "")))
        if test["result"] == "SKIP":
            continue
        case_passed, case_failed = map(int, cases.groups()) if cases else (int(good), 0)
        passed += case_passed
        failed += case_failed if good or case_failed else 1
    return passed, failed


log = pathlib.Path(sys.argv[1])
print(*(totals(log) if log.exists() else (0, 0)))
