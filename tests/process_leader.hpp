// SPDX-License-Identifier: Apache-2.0
#pragma once

// A leader of a set of numbers as a process of its own, which process_test.cpp starts, asks, freezes and
// kills. Lines in, lines out; each answer ends with `ok` or `error: ...`.

/// `main` of the process: NAME LISTEN FILE LEVEL HIGH_WATER HEARTBEAT. An empty FILE keeps everything in memory; LEVEL
/// is `full` or `relaxed`; HIGH_WATER is the length of the queues in frames, HEARTBEAT is in milliseconds.
int run_process_leader(int argc, char** argv);
