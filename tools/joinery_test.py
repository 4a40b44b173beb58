#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the program joinery over files that leaders wrote, over damaged ones, and against leaders that run."""
import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import unittest

PROGRAM = FIXTURE = CUSTOM = None
# What a sanitizer says must not look like an exit code of the program's.
for options in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
    os.environ[options] = ":".join(filter(None, (os.environ.get(options), "exitcode=99")))
ROUNDS = int(os.environ.get("JOINERY_HISTORIES", "150"))  # of random damage


def joinery(*args, program=None):
    """Runs it; its exit code, stdout and stderr. It never crashes, and says errors in one line."""
    done = subprocess.run([*(program or [PROGRAM]), *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode not in (0, 1, 2):
        raise AssertionError(f"exit code {done.returncode} of {args}: {done.stderr}")
    if done.returncode == 2 and not done.stdout and not (done.stderr.startswith("joinery: ") and done.stderr.count("\n") == 1):
        raise AssertionError(f"an error in one line, not: {done.stderr!r}")
    return done.returncode, done.stdout, done.stderr


def as_json(*args, code=0, program=None):
    got, out, err = joinery(*args, program=program)
    if got != code:
        raise AssertionError(f"exit code {got}, not {code}, of {args}: {out} {err}")
    return json.loads(out)


class Leader:
    """A leader in a process of its own; it is told in lines."""

    def __init__(self, name, file, *key, keys=()):
        self.process = subprocess.Popen([FIXTURE, "keyed" if keys else "leader", name, str(file), *map(str, key), *keys],
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        if not self.address and self.process.wait(60) == 77:
            raise unittest.SkipTest("built without libsodium")
        assert self.address.startswith("tcp://"), self.address

    def tell(self, *lines):
        for line in lines:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
            assert answer == "ok", f"{line}: {answer!r}"
        return self

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="joinery-tool-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def leader(self, name, file=None, keys=()):
        one = Leader(name, self.folder / (file or f"{name}.db"), keys=keys)
        self.addCleanup(lambda: one.process.poll() is None and one.kill())
        return one

    def file(self, name="eu", *lines):
        one = self.leader(name)
        one.tell(*(lines or ("add milk", "add tea", "remove tea", "type hello", "sell 3")))
        one.close()
        return self.folder / f"{name}.db"

    def forged(self, name, *elements):
        subprocess.run([FIXTURE, "forge", self.folder / name, *elements], check=True)
        return self.folder / name


def snapshot_of(folder):
    """Everything there is in a folder, and when it was changed."""
    return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in folder.iterdir()}


class Files(Case):
    def test_inspect(self):
        path = self.file()
        said = as_json("inspect", "--json", path)
        self.assertEqual((said["format"], said["state"], said["owner"], said["damage"]), (1, "clean", None, []))
        self.assertEqual(said["bytes"], path.stat().st_size)
        carts, notes, shop = said["collections"]
        self.assertEqual((carts["name"], carts["type"], carts["edits"], carts["records"]),
                         ("carts", "or_set<string>", 3, 3))
        self.assertEqual(carts["version"], {said["id"]: 3})
        self.assertEqual(carts["members"], [said["id"]])
        self.assertEqual((notes["type"], notes["unpublished_after"]), ("rga_text", 0))
        self.assertEqual((shop["type"], shop["readable"]), ("record", False))
        code, out, _ = joinery("inspect", path)
        self.assertEqual(code, 0)
        for word in ("closed cleanly", said["id"], "or_set<string>", "this node, a member"):
            self.assertIn(word, out)

    def test_verify(self):
        path = self.file()
        said = as_json("verify", "--json", path)
        self.assertTrue(said["sound"])
        self.assertEqual([c["checked"] for c in said["collections"]], ["values", "values", "structure"])
        self.assertIn("sound; 3 collections", joinery("verify", path)[1])

    def test_dump(self):
        path = self.file()
        said = as_json("dump", path)
        self.assertEqual(said["carts"]["value"], ["milk"])
        self.assertEqual(said["notes"]["value"], "hello")
        (delta,) = said["shop"]["deltas"]
        self.assertEqual(delta["fields"], [{"tag": 4, "bytes": 6}])
        self.assertEqual(delta["covers"][0]["last"], 1)
        self.assertEqual(list(as_json("dump", path, "carts")), ["carts"])
        self.assertIn("no collection 'none'", joinery("dump", path, "none")[2])

    def test_types_of_the_users_own(self):
        said = as_json("dump", self.file(), "shop", program=[CUSTOM])
        self.assertEqual(said["shop"]["value"], {"open": [], "sold": 3})

    def test_compact(self):
        path = self.file("eu", *[f"add element {i}" for i in range(50)], "type one", "sell 2")
        before = as_json("dump", path)
        said = as_json("compact", "--json", path)
        self.assertLess(said["collections"][0]["bytes_after"], said["collections"][0]["bytes_before"])
        self.assertIn("does not know", said["collections"][2]["left"])
        after = as_json("inspect", "--json", path)
        self.assertEqual([c["records"] for c in after["collections"]], [0, 0, 1])
        self.assertEqual(after["collections"][1]["unpublished_after"], 0)
        self.assertEqual(after["state"], "clean")
        self.assertEqual(as_json("dump", path)["carts"], before["carts"])
        self.leader("eu").tell("until 50", "add one more").close()  # and its leader goes on

    def test_reading_changes_nothing(self):
        path = self.file()
        leader = self.leader("us").tell("add milk")
        leader.kill()
        self.assertTrue((self.folder / "us.db-wal").exists())
        before = snapshot_of(self.folder)
        for args in (("inspect", path), ("verify", path), ("dump", path), ("compare", path, path),
                     ("inspect", self.folder / "us.db"), ("dump", self.folder / "us.db"),
                     ("verify", self.folder / "us.db"), ("compare", path, self.folder / "us.db")):
            joinery(*args)
            self.assertEqual(snapshot_of(self.folder), before, args)

    def test_a_killed_leaders_file(self):
        leader = self.leader("us").tell("add milk", "add tea")
        leader.kill()
        said = as_json("inspect", "--json", self.folder / "us.db")
        self.assertEqual(said["state"], "unclean (full)")
        self.assertGreater(said["wal_bytes"], 0)
        self.assertEqual(as_json("dump", self.folder / "us.db")["carts"]["value"], ["milk", "tea"])
        self.assertEqual(joinery("compact", self.folder / "us.db")[0], 0)
        self.assertEqual(as_json("dump", self.folder / "us.db")["carts"]["value"], ["milk", "tea"])

    def test_a_killed_leaders_file_without_its_log(self):
        leader = self.leader("us").tell("add milk")
        shutil.copy(self.folder / "us.db", self.folder / "copy.db")
        leader.kill()
        self.assertIn("without its write-ahead log", joinery("inspect", self.folder / "copy.db")[1])
        self.assertIn("without its write-ahead log", joinery("verify", self.folder / "copy.db")[1])

    def test_a_running_leaders_file(self):
        leader = self.leader("us").tell("add milk")
        path = self.folder / "us.db"
        said = as_json("inspect", "--json", path)
        self.assertEqual((said["state"], said["owner"]), ("in use", leader.process.pid))
        self.assertEqual(as_json("dump", path)["carts"]["value"], ["milk"])
        code, _, err = joinery("compact", path)
        self.assertEqual(code, 2)
        self.assertIn("in use by another process", err)
        self.assertIn("in use by process", joinery("verify", path)[1])
        for i in range(200):  # while it writes and makes checkpoints
            leader.tell(f"add element {i}" + "." * 2000)
            if i % 20 == 0:
                self.assertEqual(len(as_json("dump", path)["carts"]["value"]), i + 2)
        leader.tell("add done").close()

    def test_compare(self):
        a, b = self.file("a", "add milk", "add tea"), self.folder / "b.db"
        shutil.copy(a, b)
        said = as_json("compare", "--json", a, b)
        self.assertTrue(said["equal"])
        self.assertEqual([c["content"] for c in said["collections"]], ["equal", "equal", "not compared"])
        self.leader("b").tell("add bread").close()
        said = as_json("compare", "--json", a, b, code=1)
        carts = said["collections"][0]
        self.assertEqual((carts["equal"], len(carts["a_lacks"]), carts["b_lacks"]), (False, 1, []))
        self.assertEqual(carts["differences"], [{"path": '/"bread"', "b": "bread"}])
        code, out, _ = joinery("compare", a, b)
        self.assertEqual(code, 1)
        self.assertIn("a lacks 1 edit: ", out)

    def test_compare_other_collections_and_types(self):
        a, b = self.file("a", "add milk"), self.forged("b.db", "milk")
        said = as_json("compare", "--json", a, b, code=1)
        self.assertEqual([(c["name"], c["only_in"]) for c in said["collections"]],
                         [("carts", None), ("notes", "a"), ("shop", "a")])

    def test_compare_tells_what_diverged(self):
        a, b = self.forged("a.db", "milk", "tea", "salt"), self.forged("b.db", "milk", "bread", "salt")
        (carts,) = as_json("compare", "--json", a, b, code=1)["collections"]
        self.assertEqual((carts["a_lacks"], carts["b_lacks"], carts["content"]), ([], [], "different"))
        self.assertEqual(carts["differing_dots"], [{"replica": "0000000000000001", "first": 2, "last": 2}])
        self.assertEqual([d["path"] for d in carts["differences"]], ['/"bread"', '/"tea"'])
        self.assertIn("this should not be", joinery("compare", a, b)[1])


class Damage(Case):
    def test_not_ours(self):
        path = self.folder / "x.db"
        for content, said in ((b"", "empty"), (b"SQLite", "not a storage"), (b"\0" * 5000, "not a storage"),
                              (b"SQLite format 3\0", "cut off"), (os.urandom(9000), "not a storage")):
            path.write_bytes(content)
            for command in ("inspect", "verify", "dump", "compact"):
                code, _, err = joinery(command, path)
                self.assertEqual(code, 2)
                self.assertIn(said, err)
        path.unlink()
        sqlite3.connect(path).executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
        self.assertIn("not of joinery", joinery("verify", path)[2])
        self.assertIn("No such file", joinery("inspect", self.folder / "none.db")[2])
        self.assertFalse((self.folder / "none.db").exists())
        self.assertIn("not a regular file", joinery("inspect", self.folder)[2])
        os.mkfifo(self.folder / "fifo")
        self.assertIn("not a regular file", joinery("inspect", self.folder / "fifo")[2])

    def test_newer_format(self):
        path = self.file()
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 2")
        db.commit()
        db.close()
        self.assertIn("newer format (2", joinery("verify", path)[2])

    def alter(self, path, sql, *values):
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(sql, values)
        db.commit()
        db.close()

    def damage_of(self, path):
        return [(d["where"], d["what"]) for d in as_json("verify", "--json", path, code=1)["damage"]]

    def test_says_what_is_damaged_and_where(self):
        path = self.file()
        copy = self.folder / "copy.db"

        def after(sql, *values):
            shutil.copy(path, copy)
            self.alter(copy, sql, *values)
            return self.damage_of(copy)

        self.assertEqual(after("UPDATE node SET state = 1"), [("table node", "its checksum is wrong")])
        self.assertEqual(after("UPDATE log SET data = zeroblob(length(data)) WHERE key = 1")[0],
                         ("log of 'carts'", "the checksum of part 1 is wrong"))
        self.assertIn(("log of 'carts'", "part 1 is missing"), after("DELETE FROM log WHERE key = 1"))
        self.assertIn(("table collection", "2 collections of 4"), after("DELETE FROM collection WHERE number > 1"))
        self.assertIn(("snapshot of 'carts'", "0 bytes of 9"),
                      after("UPDATE collection SET snapshot_size = 9 WHERE number = 0"))
        db = sqlite3.connect(path)
        (data,) = db.execute("SELECT data FROM log WHERE key = 0").fetchone()
        db.close()
        found = after("UPDATE log SET data = ? WHERE key = 0", data[:-6] + b"\x55" + data[-5:])
        self.assertIn(("log of 'carts'", "the checksum of part 0 is wrong"), found)
        self.assertIn(("record 0 of 'carts'", "bad checksum"), found)
        code, out, _ = joinery("inspect", copy)
        self.assertEqual(code, 1)
        self.assertIn("damaged (`joinery verify` looks closer)", out)
        self.assertEqual(joinery("dump", copy)[0], 1)
        self.assertEqual(joinery("compare", path, copy)[0], 2)
        before = copy.read_bytes()
        self.assertEqual(joinery("compact", copy)[0], 2)
        self.assertEqual(copy.read_bytes(), before)

    def test_hostile_schema(self):
        path = self.file()
        self.alter(path, "CREATE VIEW more AS SELECT 1")
        self.assertIn("tables are not as they were created", joinery("dump", path)[2])

    def test_damaged_log_of_a_killed_leader(self):
        self.leader("us").tell("add milk", "add tea", "add bread", "add salt").kill()
        path, wal = self.folder / "us.db", self.folder / "us.db-wal"
        whole = wal.read_bytes()
        wal.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
        self.assertIn("write-ahead log", [where for where, _ in self.damage_of(path)])
        wal.write_bytes(b"\0" * 100)
        joinery("verify", path)

    def test_truncated_anywhere(self):
        path = self.file("eu", *[f"add {i}" for i in range(30)])
        whole = path.read_bytes()
        copy = self.folder / "copy.db"
        for size in range(0, len(whole), 509):
            copy.write_bytes(whole[:size])
            self.assertNotEqual(joinery("verify", copy)[0], 0, size)

    def test_random_damage(self):
        path = self.file("eu", *[f"add {i}" for i in range(30)], "type some text", "sell 1")
        self.leader("us").tell("add milk", "type a").kill()
        seed = random.randrange(2**32)
        dice = random.Random(seed)
        copy = self.folder / "copy.db"
        found = 0
        for _ in range(ROUNDS):
            name, wal = (path, False) if dice.random() < 0.7 else (self.folder / "us.db", True)
            content = bytearray(name.read_bytes())
            log = bytearray((self.folder / "us.db-wal").read_bytes()) if wal else None
            for _ in range(dice.choice((1, 1, 3, 20))):
                target = log if wal and dice.random() < 0.7 else content
                at = dice.randrange(len(target))
                size = dice.choice((1, 1, 4, 100))
                target[at:at + size] = dice.randbytes(len(target[at:at + size]))
            copy.write_bytes(content)
            beside = self.folder / "copy.db-wal"
            beside.write_bytes(log) if wal else beside.unlink(missing_ok=True)
            with self.subTest(seed=seed):
                code, _, _ = joinery("verify", copy)
                found += code != 0
                joinery("dump", copy)
        self.assertGreater(found, ROUNDS // 4)


class Recover(Case):
    def recovered(self, path, code=None):
        """Recovers a copy of the folder's file; what it said, or None if there was nothing."""
        new = self.folder / "recovered" / "new.db"
        shutil.rmtree(new.parent, ignore_errors=True)
        new.parent.mkdir()
        before = snapshot_of(path.parent)
        got, out, err = joinery("recover", "--json", path, new)
        after = snapshot_of(path.parent)
        self.assertEqual({n: b for n, b in after.items()}, before)
        if code is not None:
            self.assertEqual(got, code, err)
        self.assertEqual([p.name for p in new.parent.iterdir()], [] if got == 2 else ["new.db"])
        if got == 2:
            return None
        said = json.loads(out)
        self.assertEqual(said["complete"], got == 0)
        self.assertTrue(as_json("verify", "--json", new)["sound"])
        self.assertEqual(as_json("inspect", "--json", new)["state"], "a backup")
        return said

    def damaged(self, content, wal=None):
        folder = self.folder / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "eu.db").write_bytes(content)
        if wal is not None:
            (folder / "eu.db-wal").write_bytes(wal)
        return folder / "eu.db"

    def carts(self):
        return as_json("dump", self.folder / "recovered" / "new.db")["carts"]["value"]

    def test_a_sound_file(self):
        path = self.damaged(self.file().read_bytes())
        said = self.recovered(path, 0)
        self.assertEqual([(c["name"], c["complete"], c["lost"]) for c in said["collections"]],
                         [("carts", True, []), ("notes", True, []), ("shop", True, [])])
        new = self.folder / "recovered" / "new.db"
        self.assertEqual(as_json("dump", new), as_json("dump", path))
        was, now = (as_json("inspect", "--json", p) for p in (path, new))
        self.assertEqual([c["members"] for c in now["collections"]], [c["members"] for c in was["collections"]])
        code, _, err = joinery("recover", path, new)
        self.assertEqual((code, "a file of that name" in err), (2, True))
        self.assertIn("complete", joinery("recover", path, self.folder / "other.db")[1])

    def test_a_killed_leaders_file(self):
        self.file("eu", "add milk")
        self.leader("eu").tell("add tea").kill()
        path = self.damaged((self.folder / "eu.db").read_bytes(), (self.folder / "eu.db-wal").read_bytes())
        self.recovered(path, 0)
        self.assertEqual(self.carts(), ["milk", "tea"])
        (path.parent / "eu.db-wal").unlink()
        said = self.recovered(path, 1)
        self.assertIn("it is missing, and the file was not closed", [d["what"] for d in said["damage"]])
        self.assertEqual(self.carts(), ["milk"])

    def test_a_running_leaders_file(self):
        self.leader("eu").tell("add milk")
        self.assertIn("in use", joinery("recover", self.folder / "eu.db", self.folder / "new.db")[2])

    def test_a_record_is_damaged(self):
        path = self.file("eu", *[f"add {i}" for i in range(10)], "type some text", "sell 3")
        content = path.read_bytes()
        db = sqlite3.connect(path)
        (data,) = db.execute("SELECT data FROM log WHERE key = 4").fetchone()
        db.close()
        at = content.index(data) + len(data) - 6
        path = self.damaged(content[:at] + bytes([content[at] ^ 1]) + content[at + 1:])
        said = self.recovered(path, 1)
        carts, notes, shop = said["collections"]
        # An edit behind the lost one would leave a hole that nobody fills.
        self.assertEqual(self.carts(), [str(i) for i in range(4)])
        node = as_json("inspect", "--json", path, code=1)["id"]
        self.assertEqual((carts["edits"], carts["gaps"], carts["records_lost"]), (4, 1, 5))
        self.assertEqual(carts["lost"], [{"replica": node, "first": 5, "last": 10}])
        self.assertTrue(notes["complete"] and shop["complete"])
        _, out, _ = joinery("recover", path, self.folder / "text.db")
        self.assertIn(f"lost edits: {node}:5-10", out)
        self.assertIn("in part", out)

    def test_behind_a_gap_what_leaves_no_hole_is_kept(self):
        a, b = self.leader("eu"), self.leader("us")
        a.tell("add 1", "add 2")
        b.tell(f"connect {a.address}", "until 2", "sync 3")
        a.tell("until 3", "sync 4")
        b.tell("until 4", "sync 5")
        a.tell("until 5").close()
        b.close()
        content = (self.folder / "eu.db").read_bytes()
        db = sqlite3.connect(self.folder / "eu.db")
        (data,) = db.execute("SELECT data FROM log WHERE key = 1").fetchone()
        db.close()
        at = content.index(data) + len(data) - 6
        said = self.recovered(self.damaged(content[:at] + bytes([content[at] ^ 1]) + content[at + 1:]), 1)
        self.assertEqual(self.carts(), ["1", "3", "5"])  # of the other leader nothing is missing
        self.assertEqual(said["collections"][0]["lost"][0]["last"], 3)

    def test_nothing(self):
        for content in (b"", b"Dear Sir or Madam" * 1000, os.urandom(50000), b"\0" * 20000):
            self.recovered(self.damaged(content), 2)
        path = self.folder / "theirs"
        sqlite3.connect(path).executescript("CREATE TABLE t (x BLOB); INSERT INTO t VALUES (x'00'), (zeroblob(9999));")
        self.recovered(self.damaged(path.read_bytes()), 2)
        self.assertEqual(joinery("recover", self.folder / "none", self.folder / "new")[0], 2)
        path = self.file()
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 2")
        db.commit()
        db.close()
        self.assertIn("newer format", joinery("recover", path, self.folder / "new")[2])
        path = self.file("us")
        self.assertEqual(joinery("recover", path, self.folder / "no folder" / "new")[0], 2)

    def test_damage_of_every_page(self):
        words = [f"add {i}" + "." * (1000 if i == 40 else 20) for i in range(60)]
        good = self.file("eu", *words, "type some text", "sell 1").read_bytes()
        elements = {w[4:] for w in words}
        outcomes = {0: 0, 1: 0, 2: 0}
        whole = 0

        def check(content, wal=None):
            nonlocal whole
            said = self.recovered(self.damaged(content, wal))
            outcomes[2 if said is None else 0 if said["complete"] else 1] += 1
            if said is None:
                return
            kept = {c["name"]: c for c in said["collections"]}
            if "carts" in kept:
                self.assertLessEqual(set(self.carts()), elements)
                whole += set(self.carts()) == elements
                if not kept["carts"]["complete"] and kept["carts"]["snapshot"] != "lost":
                    self.assertTrue(kept["carts"]["lost"] or kept["carts"]["gaps"])
            if said["complete"]:
                self.assertEqual(set(self.carts()), elements)

        for start in range(0, len(good), 4096):
            for size in (8, 4096):  # the head of a page, all of it
                check(good[:start] + bytes(b ^ 0xA5 for b in good[start:start + size]) + good[start + size:])
            at = start + random.randrange(4096)
            check(good[:at] + bytes([good[at] ^ 1 << random.randrange(8)]) + good[at + 1:])
            check(good[:start + 2000])
        self.assertGreater(outcomes[1], len(good) // 4096)
        self.assertGreater(whole, len(good) // 4096)  # what is damaged is mostly not what is wanted

    def test_damage_of_a_log(self):
        self.leader("us").tell(*[f"add {i}" for i in range(30)]).kill()
        content, wal = ((self.folder / f"us.db{end}").read_bytes() for end in ("", "-wal"))
        most = 0
        for at in range(0, len(wal), 1777):
            said = self.recovered(self.damaged(content, wal[:at] + bytes([wal[at] ^ 255]) + wal[at + 1:]))
            if said and "carts" in [c["name"] for c in said["collections"]]:
                got = self.carts()
                self.assertEqual(got, sorted(str(i) for i in range(len(got))))
                most = max(most, len(got))
                self.assertTrue(not said["complete"] or at + 30000 > len(wal) or len(got) == 30)
        self.assertEqual(most, 30)
        other = self.file("eu")
        said = self.recovered(self.damaged(other.read_bytes(), wal), 1)
        self.assertEqual(self.carts(), ["milk"])
        self.assertTrue(said["damage"])

    def test_its_node_gets_back_what_was_lost(self):
        a, b = self.leader("eu"), self.leader("us")
        b.tell(f"connect {a.address}", "sync from us")
        a.tell("until 1", *[f"add {i}" for i in range(20)], "sync done")
        b.tell("until 22")
        was = as_json("inspect", "--json", self.folder / "eu.db")["id"]
        a.close()
        content = bytearray((self.folder / "eu.db").read_bytes())
        db = sqlite3.connect(self.folder / "eu.db")
        rows = db.execute("SELECT data FROM log WHERE key IN (3, 9)").fetchall()
        db.close()
        for (data,) in rows:
            content[content.index(data) + len(data) - 6] ^= 1
        content[100:400] = bytes(300)  # the names of the tables
        path = self.damaged(bytes(content))
        lost = self.recovered(path, 1)["collections"][0]["lost"]
        self.assertGreater(sum(r["last"] - r["first"] + 1 for r in lost), 10)
        shutil.copy(self.folder / "recovered" / "new.db", self.folder / "again.db")
        again = self.leader("again").tell(f"connect {b.address}", "until 22", "sync and goes on")
        b.tell("until 23")
        again.close()
        b.close()
        one, other = self.folder / "again.db", self.folder / "us.db"
        self.assertNotEqual(as_json("inspect", "--json", one)["id"], was)
        said = as_json("compare", "--json", one, other)
        self.assertTrue(said["equal"])


class Encrypted(Case):
    def key(self, name="key", mode=0o600):
        path = self.folder / name
        path.write_bytes(os.urandom(32))
        path.chmod(mode)
        return path

    def leader(self, name, key):
        one = Leader(name, self.folder / f"{name}.db", key)
        self.addCleanup(lambda: one.process.poll() is None and one.kill())
        return one

    def written(self, key, count=8):
        self.leader("eu", key).tell(*[f"add SECRET{i}" for i in range(count)], "type SECRET", "sell 3").close()
        return self.folder / "eu.db"

    def test_with_its_key(self):
        key = self.key()
        path = self.written(key)
        self.assertNotIn(b"SECRET", path.read_bytes())
        self.assertNotIn(b"carts", path.read_bytes())
        said = as_json("dump", path, "--key-file", key)
        self.assertEqual(said["carts"]["value"], [f"SECRET{i}" for i in range(8)])
        said = as_json("inspect", "--json", path, "--key-file", key)
        self.assertEqual(([c["edits"] for c in said["collections"]], said["encrypted"]), ([8, 6, 1], True))
        self.assertTrue(as_json("verify", "--json", path, "--key-file", key)["sound"])
        self.assertTrue(as_json("compare", "--json", path, path, "--key-file", key)["equal"])
        before = as_json("dump", path, "carts", "--key-file", key)
        self.assertEqual(as_json("compact", "--json", path, "--key-file", key)["collections"][2]["left"][:4], "this")
        self.assertEqual(as_json("dump", path, "carts", "--key-file", key), before)
        self.assertNotIn(b"SECRET", path.read_bytes())
        self.leader("eu", key).tell("until 8", "add more").close()

    def test_without_its_key(self):
        key = self.key()
        path = self.written(key)
        before = snapshot_of(self.folder)
        self.assertIn("yes; --key-file", joinery("inspect", path)[1])
        self.assertNotIn("no collections", joinery("inspect", path)[1])
        self.assertTrue(as_json("verify", "--json", path)["sound"])
        self.assertIn("only the checksums", joinery("verify", path)[1])
        self.assertTrue(joinery("verify", path)[1].endswith("eu.db: sound\n"))
        for command in (("dump", path), ("compact", path), ("compare", path, path), ("recover", path, self.folder / "new")):
            code, _, err = joinery(*command)
            self.assertEqual((code, "give its key with --key-file" in err), (2, True))
        other = self.folder / "other"
        other.write_bytes(os.urandom(32))
        for mode, why in ((0o600, "the key is wrong"), (0o644, "others may read"), (0o660, "others may read")):
            other.chmod(mode)
            for command in (("inspect", path), ("dump", path), ("compact", path), ("recover", path, self.folder / "new")):
                code, _, err = joinery(*command, "--key-file", other)
                self.assertEqual((code, why in err), (2, True), err)
        other.unlink()
        self.assertEqual(snapshot_of(self.folder), before)
        plain = self.folder / "plain.db"
        subprocess.run([FIXTURE, "forge", plain, "x"], check=True)
        self.assertIn("not encrypted", joinery("dump", plain, "--key-file", key)[2])

    def test_damage_and_recovery(self):
        key, new_key = self.key(), self.key("new key")
        path = self.written(key, 20)
        new = self.folder / "new.db"
        good = path.read_bytes()
        db = sqlite3.connect(path)
        (data,) = db.execute("SELECT data FROM log WHERE key >> 40 = 1 LIMIT 1 OFFSET 5").fetchone()
        db.close()
        at = good.index(data) + 50
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        self.assertTrue(as_json("verify", "--json", path, "--key-file", key, code=1)["damage"])
        self.assertEqual(joinery("verify", path)[0], 1)
        said = as_json("recover", "--json", path, new, "--key-file", key, code=1)
        self.assertEqual([c["complete"] for c in said["collections"]], [False, True, True])
        kept = as_json("dump", new, "--key-file", key)["carts"]["value"]
        self.assertEqual(kept, sorted(f"SECRET{i}" for i in range(5)))
        self.assertNotIn(b"SECRET", new.read_bytes())
        for start in range(0, len(good), 4096):  # whatever is damaged, nothing else is read than what was written
            path.write_bytes(good[:start] + os.urandom(4096) + good[start + 4096:])
            new.unlink(missing_ok=True)
            code, out, _ = joinery("recover", "--json", path, new, "--key-file", key)
            if code == 2:
                continue
            self.assertEqual(json.loads(out)["complete"], code == 0)
            got = as_json("dump", new, "--key-file", key)
            if "carts" in got:
                self.assertLessEqual(set(got["carts"]["value"]), {f"SECRET{i}" for i in range(20)})
        # All of it with another key, from a sound file.
        path.write_bytes(good)
        new.unlink(missing_ok=True)
        self.assertTrue(as_json("recover", "--json", path, new, "--key-file", key, "--new-key-file", new_key)["complete"])
        self.assertEqual(joinery("dump", new, "--key-file", key)[0], 2)
        self.assertEqual(as_json("dump", new, "--key-file", new_key), as_json("dump", path, "--key-file", key))
        self.assertEqual(as_json("inspect", "--json", new)["state"], "a backup")
        # And a plain file becomes an encrypted one.
        plain, sealed = self.folder / "plain.db", self.folder / "sealed.db"
        subprocess.run([FIXTURE, "forge", plain, "SECRET"], check=True)
        as_json("recover", "--json", plain, sealed, "--new-key-file", key)
        self.assertEqual(as_json("dump", sealed, "--key-file", key), as_json("dump", plain))
        self.assertNotIn(b"SECRET", sealed.read_bytes())


class Live(Case):
    def pair(self):
        a, b = self.leader("eu"), self.leader("us")
        b.tell(f"connect {a.address}")
        a.tell("sync milk")
        b.tell("until 1", "sync tea")
        a.tell("until 2")
        return a, b

    def test_follow(self):
        a, b = self.pair()
        said = as_json("follow", a.address, b.address, "-c", "carts", "--json", "--count", 1)
        self.assertEqual([(l["name"], l["up"], l["role"], l["durability"]) for l in said["leaders"]],
                         [("eu", True, "leader", "full"), ("us", True, "leader", "full")])
        for leader in said["leaders"]:
            (carts,) = leader["collections"]
            self.assertEqual((carts["name"], carts["type"], carts["edits"], carts["member"]),
                             ("carts", "or_set<string>", 2, True))
        self.assertEqual(said["events"], ["eu is up", "us is up"])
        code, out, _ = joinery("follow", "-c", "carts", a.address, b.address, "--count", 1)
        self.assertEqual((code, out.count("carts")), (0, 2))
        self.assertIn("no leader has a collection 'none'", joinery("follow", "-c", "none", a.address, "--count", 1)[2])
        code, _, err = joinery("follow", "tcp://127.0.0.1:1", "--count", 1)
        self.assertEqual(code, 2)
        self.assertIn("none of them has answered", err)
        (leader,) = json.loads(joinery("follow", "tcp://127.0.0.1:1", "--count", 1, "--json")[1])["leaders"]
        self.assertEqual((leader["up"], leader["id"], leader["name"], leader["collections"]), (False, None, None, []))

    def test_follow_tells_who_is_behind_and_who_went(self):
        a, b = self.leader("eu"), self.forgotten()
        a.tell("add milk")
        process = subprocess.Popen([PROGRAM, "follow", a.address, b.address, "--json", "--interval", "0.1"],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close()))

        def line_where(condition):
            for line in process.stdout:
                said = json.loads(line)
                if condition(said):
                    return said
            raise AssertionError("it ended")

        def carts(said, i):
            list_ = [c for c in said["leaders"][i]["collections"] if c["type"] == "or_set<string>"]
            return list_[0] if list_ else None

        said = line_where(lambda s: carts(s, 0) and carts(s, 1) and carts(s, 1)["behind"] == 1)
        self.assertEqual(carts(said, 0)["behind"], 3)
        a.tell("add tea")
        line_where(lambda s: carts(s, 1)["behind"] == 2)
        a.kill()
        line_where(lambda s: "eu is down" in s["events"])

    def forgotten(self):
        """A leader that nobody is connected to, with edits of its own."""
        return self.leader("far").tell("add x", "add y", "add z")

    def test_nobody_there(self):
        code, _, err = joinery("compare", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1", "--timeout", "0.3")
        self.assertEqual(code, 2)
        self.assertIn("no answer within 0.3 s", err)

    def test_compare(self):
        a, b = self.pair()
        said = as_json("compare", a.address, b.address, "-c", "carts", "--json")
        self.assertEqual([(c["name"], c["content"]) for c in said["collections"]], [("carts", "equal")])
        self.assertEqual(len(as_json("compare", a.address, b.address, "--json")["collections"]), 3)
        c = self.forgotten()
        carts = as_json("compare", a.address, c.address, "-c", "carts", "--json", code=1)["collections"][0]
        self.assertEqual((sum(r["last"] - r["first"] + 1 for r in carts["a_lacks"]),
                          sum(r["last"] - r["first"] + 1 for r in carts["b_lacks"])), (3, 2))

    def test_compare_tells_what_diverged(self):
        many = [f"element {i}" for i in range(5000)]
        self.forged("a.db", *many)
        many[4321] = "another"
        self.forged("b.db", *many)
        a, b = self.leader("a"), self.leader("b")
        self.assertIn("no peer has answered it yet", joinery("compare", a.address, b.address, "-c", "carts")[1])
        for i, one in enumerate((a, b)):  # what it has it gives to a peer that has asked, and been asked
            peer = self.leader(f"peer{i}")
            one.tell(f"connect {peer.address}")
            peer.tell("until 5000")
        said = as_json("compare", a.address, b.address, "-c", "carts", "--json", code=1)
        self.assertEqual(said["collections"][0]["differing_dots"],
                         [{"replica": "0000000000000001", "first": 4322, "last": 4322}])

    def test_leaders_take_it_for_no_member(self):
        a, b = self.pair()
        code, out, _ = joinery("follow", a.address, b.address, "--json", "--count", 3, "--interval", "0.2")
        self.assertEqual((code, len([json.loads(line) for line in out.splitlines()])), (0, 3))
        a.close()
        b.close()
        said = as_json("inspect", "--json", self.folder / "eu.db")
        self.assertEqual(len(said["collections"][0]["members"]), 2)
        self.assertEqual(said["gone"], [])


class Keys(Case):
    def test_keygen(self):
        path = self.folder / "eu.key"
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        code, public, err = joinery("keygen", path)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(public, r"^[0-9a-f]{64}\n$")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(joinery("keygen", "--public", path)[1], public)
        self.assertEqual(as_json("keygen", "--json", "--public", path), {"file": str(path), "public": public.strip()})
        other = as_json("keygen", "--json", self.folder / "us.key")
        self.assertNotEqual(other["public"], public.strip())

        before = snapshot_of(self.folder)
        code, _, err = joinery("keygen", path)
        self.assertEqual(code, 2)
        self.assertIn("File exists", err)
        self.assertEqual(snapshot_of(self.folder), before)
        path.chmod(0o640)
        self.assertIn("others than its owner", joinery("keygen", "--public", path)[2])
        self.assertEqual(joinery("keygen", "--public", self.folder / "none")[0], 2)
        self.assertEqual(joinery("keygen", self.folder / "no" / "eu.key")[0], 2)

    def test_live(self):
        eu, us, mine, stranger = (str(self.folder / f"{name}.key") for name in ("eu", "us", "mine", "stranger"))
        public = {path: joinery("keygen", path)[1].strip() for path in (eu, us, mine, stranger)}
        a = self.leader("eu", keys=[eu, public[us], public[mine]])
        b = self.leader("us", keys=[us, public[eu], public[mine]])
        self.assertTrue(a.address.endswith("#" + public[eu]))
        b.tell(f"connect {a.address}")
        a.tell("sync milk")
        b.tell("until 1")
        said = as_json("follow", a.address, b.address, "-c", "carts", "--identity", mine, "--json", "--count", 1)
        self.assertEqual([(x["name"], x["up"]) for x in said["leaders"]], [("eu", True), ("us", True)])
        as_json("compare", a.address, b.address, "-c", "carts", "--identity", mine, "--json")
        for key, endpoint in ((stranger, a.address), (mine, a.address[:-64] + public[us])):
            code, _, err = joinery("compare", endpoint, endpoint, "--identity", key, "--timeout", "0.5")
            self.assertEqual(code, 2)
            self.assertIn("no answer within 0.5 s", err)
        plain = a.address.split("#")[0]
        self.assertIn("zmq_options::keys", joinery("follow", a.address, "--count", 1)[2])
        self.assertIn("has no key", joinery("follow", plain, "--identity", mine, "--count", 1)[2])
        self.assertEqual(joinery("compare", plain, plain, "--timeout", "0.5")[0], 2)
        self.assertEqual(joinery("follow", a.address, "--identity", self.folder / "none", "--count", 1)[0], 2)


class Usage(Case):
    def test_help(self):
        for command in ("inspect", "verify", "dump", "compact", "recover", "follow", "compare", "keygen"):
            code, out, _ = joinery(command, "--help")
            self.assertEqual(code, 0)
            self.assertIn(f"joinery {command}", out.split("Example:")[1])
        self.assertEqual(joinery("--help")[0], 0)
        self.assertRegex(joinery("--version")[1], r"^joinery \d+\.\d+\.\d+\n$")

    def test_wrong_input(self):
        path = self.folder / "x.db"
        self.assertIn("no command 'none'", joinery("none")[2])
        for args in ((), ("none",), ("inspect",), ("inspect", "a", "b"), ("compare", "a"), ("follow",), ("inspect", ""),
                     ("compare", "a.db", "tcp://127.0.0.1:1"), ("follow", "nonsense"),
                     ("follow", "tcp://127.0.0.1:1", "--interval", "-1"), ("follow", "tcp://127.0.0.1:1", "--count", "x"),
                     ("follow", "tcp://192.0.2.1:7001", "--count", "1"), ("inspect", path, "--none")):
            with self.subTest(args=args):
                self.assertEqual(joinery(*args)[0], 2)

    def test_errors_say_how_it_is_used(self):
        for args, said in (((), "see `joinery --help`"), (("none",), "see `joinery --help`"),
                           (("inspect",), "FILE is required; see `joinery inspect --help`"),
                           (("follow", "tcp://127.0.0.1:1", "--count", "-1"), "'-1' is no number"),
                           (("follow", "tcp://127.0.0.1:1", "--interval", "nan"), "'nan' is no number of seconds"),
                           (("follow", "tcp://192.0.2.1:1"), "--insecure allows that"),
                           (("follow", "eu.db"), '"eu.db" is neither tcp://HOST:PORT nor ipc://PATH')):
            with self.subTest(args=args):
                code, _, err = joinery(*args)
                self.assertEqual(code, 2)
                self.assertIn(said, err)
                self.assertNotIn("zmq_options", err)

    def test_errors_name_files_as_they_were_given(self):
        done = subprocess.run([PROGRAM, "inspect", "."], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (2, "joinery: .: not a regular file\n"))

    def test_full_output(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        path = self.file()
        for args in (["inspect", path], ["--help"], ["dump", "--help"], ["--version"]):
            with self.subTest(args=args), open("/dev/full", "w") as full:
                done = subprocess.run([PROGRAM, *args], stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 2)
                self.assertIn("standard output", done.stderr)
        with open("/dev/full", "w") as full:
            self.assertEqual(subprocess.run([PROGRAM, "none"], stderr=full).returncode, 2)
        self.assertEqual(subprocess.run([PROGRAM, "none"], preexec_fn=lambda: os.close(2)).returncode, 2)

    def test_interrupted(self):
        for name in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([PROGRAM, "follow", "tcp://127.0.0.1:1"], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(name, signal.SIG_DFL))
            process.send_signal(name)
            self.assertEqual((process.communicate(timeout=60), process.returncode), ((b"", b""), -name))

    def test_completion(self):
        self.file("eu", "add milk")
        (self.folder / "with blank.db").write_bytes((self.folder / "eu.db").read_bytes())
        script = pathlib.Path(__file__).with_name("joinery.bash")

        def completed(*words):
            done = subprocess.run(
                ["bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _joinery; '
                 'printf "%s\\n" "${COMPREPLY[@]}"', "bash", script, PROGRAM, *words],
                capture_output=True, text=True, cwd=self.folder)
            return done.stdout.split("\n")[:-1]

        commands = re.findall(r"^  ([a-z]+) ", joinery("--help")[1].split("Subcommands:")[1], re.M)
        self.assertEqual(sorted(completed("")), sorted([*commands, "--help", "--version"]))
        for command in commands:
            options = set(re.findall(r"--[a-z-]+", joinery(command, "--help")[1].split("Example")[0]))
            self.assertEqual(set(completed(command, "--")), options, command)
        self.assertEqual(completed("inspect", "e"), ["eu.db"])
        self.assertEqual(completed("verify", "with"), ["with blank.db"])
        self.assertEqual(completed("dump", "eu.db", ""), ["carts", "notes", "shop"])
        self.assertEqual(completed("dump", "with blank.db", "c"), ["carts"])
        self.assertEqual(completed("compare", "t"), ["tcp://"])
        self.assertEqual(completed("compare", "eu.db", "w"), ["with blank.db"])
        self.assertEqual(completed("follow", ""), ["tcp://", "ipc://"])

    def test_examples_of_the_manual(self):
        """Those of the manual page and of --help, over the files and leaders that they name."""
        page = pathlib.Path(__file__).with_name("joinery.1").read_text()
        examples = re.findall(r"^\.Dl joinery (.*)", page, re.M)
        for command in ("inspect", "verify", "dump", "compact", "follow", "compare"):
            helped = joinery(command, "--help")[1].split("Example:")[1]
            examples += re.findall(r"^  joinery (.*)", helped, re.M)
        for name in ("eu", "us"):
            self.file(name, "add milk")
        (self.folder / "backups").mkdir()
        shutil.copy(self.folder / "eu.db", self.folder / "backups" / "eu-2026-11-22")
        a, b = self.leader("a"), self.leader("b")
        for example in examples:
            with self.subTest(example=example):
                words = shlex.split(example.replace("tcp://127.0.0.1:7001", a.address)
                                    .replace("tcp://127.0.0.1:7002", b.address))
                if words[0] == "follow":
                    words += ["--count", "1"]
                done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, cwd=self.folder, timeout=60)
                different = words == ["compare", "eu.db", "us.db"]
                self.assertEqual((done.returncode, done.stderr), (int(different), ""))

    def test_fits_a_terminal(self):
        a = self.leader("eu-central").tell("add milk")
        b = self.leader("us-east")
        path = self.file("many", *[f"add {i}" for i in range(30)])
        for args in (("inspect", path), ("inspect", self.folder / "us-east.db"), ("--help",), ("follow", "--help"),
                     ("compare", "--help"), ("follow", a.address, b.address, "--count", "1")):
            with self.subTest(args=args):
                code, out, _ = joinery(*args)
                self.assertEqual(code, 0)
                self.assertLessEqual(max(len(line) for line in out.replace(str(self.folder), "").split("\n")), 80)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("fixture")
    parser.add_argument("custom")
    parser.add_argument("tests", nargs="*")
    given = parser.parse_args()
    PROGRAM, FIXTURE, CUSTOM = map(os.path.abspath, (given.program, given.fixture, given.custom))
    unittest.main(argv=["joinery_test.py", *given.tests], verbosity=2)
