#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real leaders, real faults: processes that are killed and frozen, networks that are cut, disks that fill, storages that
go bad. docs/chaos.md says what is checked. `./dev chaos` builds the leader and runs this."""
import argparse
import asyncio
import collections
import ctypes
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

import plan as plans
from checker import History, moves
from round import Round, fingerprint

ISOLATED = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
BUGS = ("acknowledge_early", "dots_reused", "no_dependencies", "full_context", "pruned_early", "wrong_origin")
CLIENT_BUGS = ("token_ignored",)
RARE_BUGS = ("last_beacon", "plain_stability")  # left to the simulation


def isolation():
    """How to get network, mounts and processes of our own, which end with us; none if that is not allowed."""
    for command in (ISOLATED, [ISOLATED[0], "--user", "--map-root-user", *ISOLATED[1:]]):
        trial = ("mount -t tmpfs tmpfs /run && ip netns add trial && ip link add bridge type bridge && "
                 "ip link add one type veth peer name two netns trial")
        if subprocess.run([*command, "sh", "-c", trial], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0:
            return command
    return None


def run_inside(command):
    """The same program once more; whatever becomes of this one, that one and all that it started end with it."""
    def follow():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    inner = subprocess.Popen(command, preexec_fn=follow)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that one hears it too, and sums up
    signal.signal(signal.SIGTERM, lambda *_: pass_on(inner.pid))  # which unshare does not do
    return inner.wait()


def pass_on(parent):
    for child in pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        os.kill(int(child), signal.SIGTERM)


def describe(record):
    names = "abcdefgh"
    who = "at the end" if record.client < 0 else f"client {record.client}"
    if record.session:
        who += f", session {record.session},"
    words = " ".join([record.board, record.action, *record.arguments])
    if record.concern:
        words += f" (by {record.concern} peers)"
    said = record.detail if len(record.detail) < 160 else record.detail[:160] + "..."
    return (f"  {record.start:8.3f}-{record.end:7.3f}  {record.number or ''} {who} at {names[record.leader]} "
            f"(process {record.life}): {words}\n{'':22}{record.outcome}: {said}")


def describe_moves(n):
    return (f"{n.total()} times: {n['arrived']} were answered with all that they had seen, {n['behind']} with \"behind\", "
            f"{n['unanswered']} not")


def explain(out, violations, complaints, events):
    """A few lines for each violation: what was violated, the operations, and what happened around them."""
    moments = []
    for rule, text, records in violations[:6]:
        print(f"VIOLATED ({rule}): {text}", file=out)
        for r in records[:4]:
            print(describe(r), file=out)
            moments += [r.start, r.end]
    for rule, text, when in complaints[:6]:
        print(f"VIOLATED: {rule} ({when:.3f}): {text}", file=out)
        moments.append(when)
    print("around that:", file=out)
    shown = [(t, text) for t, text in events if any(-1.5 <= t - m <= 0.5 for m in moments)]
    for t, text in shown[-60:]:
        print(f"  {t:8.3f}  {text[:200]}", file=out)


class Summary:
    def __init__(self):
        self.rounds = 0
        self.operations = collections.Counter()
        self.faults = collections.Counter()
        self.warnings = collections.Counter()
        self.counters = collections.Counter()
        self.moves = collections.Counter()
        self.vanished = 0
        self.lost = 0
        self.contested = 0
        self.slowest = 0.0
        self.failed = []

    def add(self, round_, history):
        self.rounds += 1
        for r in round_.records:
            if r.client >= 0:
                self.operations[r.board, r.outcome] += 1
                if r.session:
                    self.operations["(in sessions)", r.outcome] += 1
                if r.complete:
                    self.operations["(with peers)", r.outcome] += 1
        self.faults.update(round_.faults)
        self.warnings.update(round_.cluster.warnings)
        for leader in round_.cluster.leaders:
            self.counters.update({k: leader.counters.get(k, 0) for k in (
                "compactions", "prunings", "pulls_completed", "buffers_dropped", "updates_relayed",
                "transport_reconnects")})
        self.moves += moves(round_.records)
        self.vanished += sum(rule in ("session", "durable") for rule, _, _ in history.violations)
        self.lost += len(history.lost_records)
        self.contested += len(history.contested)
        self.slowest = max(self.slowest, round_.converged or 0.0)

    def show(self, seed):
        boards = sorted({b for b, _ in self.operations})
        print(f"\n{'operations':16}{'ok':>9}{'failed':>9}{'unknown':>9}")
        for b in boards:
            print(f"{b:16}" + "".join(f"{self.operations[b, o]:9}" for o in ("ok", "failed", "unknown")))
        total = sum(n for (b, _), n in self.operations.items() if not b.startswith("("))
        print(f"{total} operations in {self.rounds} rounds; {self.lost} acknowledged by one leader only were lost with "
              f"its storage; {self.contested} keys were granted by two homes")
        print(f"sessions moved between leaders {describe_moves(self.moves)}; "
              + (f"WRITES VANISHED, at least {self.vanished} times" if self.vanished else "no write vanished"))
        print("faults: " + (", ".join(f"{k} {n}" for k, n in sorted(self.faults.items())) or "none"))
        print("leaders: " + ", ".join(f"{k} {n}" for k, n in sorted((self.counters + self.warnings).items()) if k))
        print(f"slowest convergence: {self.slowest:.2f} s")
        verdict = f"FAILED in rounds {self.failed}" if self.failed else "passed" if self.rounds else "nothing was played"
        print(f"seed {seed}: {verdict}")


def judge(round_):
    history = History(round_.records, round_.losses, round_.plan.leaders)
    return history, history.check(), round_.cluster.complaints


async def interruptible(work):
    """A signal ends it in good order: no leader, mount or namespace is left."""
    task = asyncio.ensure_future(work)
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop():
        for number in signals:  # a second one would cut that short
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        task.cancel()

    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await task


def one_round(arguments, number, folder, summary):
    """Plays and judges; what was violated, as (violations, complaints)."""
    kinds = [k for k in plans.FAULTS if not arguments.faults or k in arguments.faults]
    plan = plans.draw(arguments.seed, number, arguments.seconds, kinds)
    print(f"round {number}: {plan.leaders} leaders ({plan.shape}), {len(plan.clients)} clients, "
          f"{sum(map(len, plan.phases))} faults{', ' + plan.storage_fault if plan.storage_fault else ''}; "
          f"plan {fingerprint(plan)}", flush=True)
    here = folder / f"round{number}"
    here.mkdir(parents=True)
    round_ = Round(plan, here, str(arguments.program), arguments.isolated, arguments.bug)
    broken = []
    try:
        asyncio.run(interruptible(round_.run()))
    except Exception:  # the round cannot go on; what was seen so far is judged
        traceback.print_exc(file=sys.stdout)
        if not round_.cluster:
            raise
        broken = [("the round broke off", "as is said above", round_.cluster.now())]
    history, violations, complaints = judge(round_)
    summary.add(round_, history)
    print(f"round {number}: sessions moved {describe_moves(moves(round_.records))}", flush=True)
    complaints = complaints + broken
    if violations or complaints:
        summary.failed.append(number)
        explain(sys.stdout, violations, complaints, round_.cluster.events)
        with open(here / "history", "w") as out:
            for r in sorted(round_.records, key=lambda r: r.start):
                print(r, file=out)
            for t, text in round_.cluster.events:
                print(f"{t:8.3f}  {text}", file=out)
        print(f"the history is in {here}/history; the same round again: ./dev chaos 1 {arguments.seed} "
              f"--first {number}" + (f" --bug {arguments.bug}" if arguments.bug else ""), flush=True)
    else:
        shutil.rmtree(here, ignore_errors=True)
    return violations, complaints


def find_bugs(arguments, folder):
    """How many rounds it takes to catch each planted bug. 0 if all are caught."""
    missed = 0
    for bug in BUGS + CLIENT_BUGS:
        arguments.bug = bug
        caught = None
        for number in range(arguments.first, arguments.first + arguments.rounds):
            violations, complaints = one_round(arguments, number, folder / bug, Summary())
            if violations or complaints:
                caught = number - arguments.first + 1
                rules = sorted({v[0] for v in violations} | {c[0] for c in complaints})
                print(f"== {bug}: caught after {caught} rounds: {'; '.join(rules)}\n", flush=True)
                break
        if caught is None:
            missed += 1
            print(f"== {bug}: NOT caught in {arguments.rounds} rounds\n", flush=True)
    return missed


def main():
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--program", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--drawn", type=int, help=argparse.SUPPRESS)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("seed", nargs="?", type=int, default=None)
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first round, of this seed")
    parser.add_argument("--seconds", type=float, default=24, help="of faults in a round (default 24)")
    parser.add_argument("--loopback", action="store_true", help="no namespaces")
    parser.add_argument("--faults", nargs="*", choices=plans.FAULTS, metavar="KIND", help="only these")
    parser.add_argument("--bug", choices=BUGS + CLIENT_BUGS + RARE_BUGS,
                        help="with this bug planted in every leader, or client")
    parser.add_argument("--bugs", action="store_true", help="each planted bug, until it is caught")
    parser.add_argument("--folder", type=pathlib.Path, help="for files; default: a temporary one")
    arguments = parser.parse_args()
    arguments.seed = arguments.drawn or arguments.seed or random.SystemRandom().randrange(1, 1 << 32)
    if not arguments.loopback and not arguments.isolated:
        command = isolation()
        if command:
            return run_inside(command + [sys.executable, *sys.argv, "--isolated", "--drawn", str(arguments.seed)])
        print("namespaces are not allowed here: on the loopback device", flush=True)
    if arguments.isolated:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    return play(arguments)


def play(arguments):
    where = "in network namespaces" if arguments.isolated else "on the loopback device"
    print(f"seed {arguments.seed}, {where}", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaos-", dir=arguments.folder)).resolve()
    summary = Summary()

    try:
        if arguments.bugs:
            return 1 if find_bugs(arguments, folder) else 0
        for number in range(arguments.first, arguments.first + arguments.rounds):
            one_round(arguments, number, folder, summary)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted")
    finally:
        if not summary.failed and not arguments.bugs:
            shutil.rmtree(folder, ignore_errors=True)
    summary.show(arguments.seed)
    return 1 if summary.failed or summary.rounds == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
