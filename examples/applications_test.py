#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives shopping_cart and notes through pipes, as scripts and people would: applications_test.py CART NOTES"""

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CART, NOTES = [os.path.abspath(p) for p in sys.argv[1:3]]
LIMIT = 60  # seconds: for machines that have much else to do


class Refused(Exception):
    pass


class Leader:
    """A running application, asked line by line."""

    def __init__(self, program, *options):
        self.process = subprocess.Popen([program, "--answers", *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.address = self.ask("address")[0]

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = []
        while True:
            got = self.lines.get(timeout=LIMIT)
            if got is None:
                raise EOFError(self.process.stderr.read())
            if got == "ok":
                return answer
            if got.startswith("error: "):
                raise Refused(got[7:])
            answer.append(got)

    def quit(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=LIMIT)
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=LIMIT)
        self.process.stdin.close()


def run(program, *arguments, stdin=""):
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, encoding="utf-8", timeout=LIMIT)
    return done.returncode, done.stdout, done.stderr


def converge(*leaders):
    """Waits until all have seen what any of them has."""
    for writer in leaders:
        version = writer.ask("version")[0]
        for reader in leaders:
            reader.ask(f"await {version} {LIMIT}")


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="joinery-applications-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return self.path(name)

    def text(self, name):
        with open(self.path(name), "rb") as f:
            return f.read().decode()

    def leader(self, program, name, *options):
        leader = Leader(program, "--name", name, "--data", self.path(name + ".db"), *options)
        self.addCleanup(leader.quit)
        return leader

    def pair(self, program):
        eu = self.leader(program, "eu")
        us = self.leader(program, "us", "--peer", eu.address)
        eu.ask("connect " + us.address)
        return eu, us


class ShoppingCart(Case):
    def test_two_carts_converge(self):
        eu, us = self.pair(CART)
        eu.ask("add milk 2")
        us.ask("add milk 3")
        us.ask('add "brown bread"')
        eu.ask("coupon SPRING")
        converge(eu, us)
        self.assertEqual(eu.ask("show"), ["1 brown bread", "5 milk", "coupon: SPRING"])
        self.assertEqual(us.ask("show"), eu.ask("show"))
        self.assertEqual(us.ask("digest"), eu.ask("digest"))
        us.ask("remove milk")
        us.ask("coupon")
        eu.ask('remove "brown bread" 1')
        converge(eu, us)
        self.assertEqual(eu.ask("show"), ["the cart is empty"])
        self.assertEqual(us.ask("digest"), eu.ask("digest"))
        self.assertIn("equal with 1 other leader", eu.ask(f"sync {LIMIT}")[0])
        self.assertTrue(any("us: connected, equal" in line for line in eu.ask("status")))
        self.assertEqual((eu.quit(), us.quit()), (0, 0))

    def test_concurrent_add_survives_remove(self):
        eu, us = self.pair(CART)
        eu.ask("add milk 2")
        converge(eu, us)
        eu.ask("disconnect " + us.address)
        us.ask("disconnect " + eu.address)
        eu.ask("remove milk")
        us.ask("add milk 3")
        eu.ask("coupon SPRING")
        us.ask("coupon SUMMER")
        eu.ask("connect " + us.address)
        us.ask("connect " + eu.address)
        converge(eu, us)
        self.assertEqual(eu.ask("show")[0], "3 milk")
        self.assertIn("set at the same time", eu.ask("show")[1])
        self.assertEqual(us.ask("show"), eu.ask("show"))

    def test_carts_have_names(self):
        eu = self.leader(CART, "eu")
        eu.ask("add milk")
        eu.ask("cart alice")
        self.assertEqual(eu.ask("show"), ["the cart is empty"])
        eu.ask("add tea 2")
        self.assertEqual(eu.ask("carts"), ["alice: 1 item", "cart: 1 item"])

    def test_killed_leader_keeps_what_it_acknowledged(self):
        eu = self.leader(CART, "eu")
        eu.ask("add milk 2")
        eu.kill()
        again = self.leader(CART, "eu")
        self.assertEqual(again.ask("show"), ["2 milk"])

    def test_scripts(self):
        data = ["--data", self.path("eu.db")]
        self.assertEqual(run(CART, *data, "-c", "add milk 2", "-c", "show"), (0, "milk: 2\n2 milk\n", ""))
        self.assertEqual(run(CART, *data, "--", "add", "brown bread"), (0, "brown bread: 1\n", ""))
        self.assertEqual(run(CART, *data, stdin="add milk\n\nshow\n"),
                         (0, "milk: 3\n1 brown bread\n3 milk\n", ""))
        code, out, _ = run(CART, "--help")
        self.assertEqual(code, 0)
        self.assertIn("--listen ADDRESS", out)
        code, out, _ = run(CART, "-c", "help")
        self.assertEqual(code, 0)
        self.assertIn("add ITEM [QUANTITY]", out)

    def test_mistakes_at_the_prompt(self):
        eu = self.leader(CART, "eu")
        for line, message in [
            ("fly", 'unknown command "fly"; `help` lists them'),
            ("add", "usage: add ITEM [QUANTITY]"),
            ("add milk many", 'QUANTITY: "many" is not a whole number from 1 on'),
            ("add milk -1", 'QUANTITY: "-1" is not a whole number from 1 on'),
            ("add milk 0", 'QUANTITY: "0" is not a whole number from 1 on'),
            ("add milk 99999999999999999999999", "is not a whole number"),
            ("add milk 1000001", "QUANTITY: at most 1000000"),
            ("remove tea", "there is no tea in this cart"),
            ('add "milk', "a double quote has no end"),
            ("connect nowhere", "nowhere"),
            ("connect tcp://192.0.2.1:7001", "insecure"),
            ("await x", '"x" is not a version'),
            ("await 1:1 0", "not seen after 0 s"),
        ]:
            with self.assertRaises(Refused, msg=line) as refused:
                eu.ask(line)
            self.assertIn(message, str(refused.exception))
        self.assertEqual(eu.ask("show"), ["the cart is empty"])
        self.assertEqual(eu.quit(), 1)


class Keys(Case):
    def keyed(self, name, *options):
        return self.leader(NOTES, name, "--keys", self.path(name + ".key"), *options)

    @staticmethod
    def key(leader):
        return leader.address.split("#")[1]

    def test_who_is_let_in_and_what_it_may(self):
        eu = self.keyed("eu")
        us = self.keyed("us", "--admit", self.key(eu), "--peer", eu.address)
        self.assertEqual(os.stat(self.path("eu.key")).st_mode & 0o777, 0o600)
        note = eu.ask("new Plans")[0]
        self.assertEqual(us.ask("list"), ["no notes"])
        deadline = time.monotonic() + LIMIT
        while eu.ask("status")[-1] != "refused: a peer dialled in whose key is not admitted: " + self.key(us):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        eu.ask("admit " + self.key(us))
        kiosk = self.keyed("kiosk", "--admit", self.key(eu), "--peer", eu.address)
        converge(eu, us)
        self.assertEqual(kiosk.ask("list"), ["no notes"])
        self.assertTrue(any("key " + self.key(us) in line for line in eu.ask("status")))

        eu.ask(f"admit {self.key(kiosk)} read")
        kiosk.ask(f"await {eu.ask('version')[0]} {LIMIT}")
        with self.assertRaises(Refused) as refused:  # it learns of that with eu's first hello
            kiosk.ask("append " + note + " mine")
        self.assertIn('refused by "eu"', str(refused.exception))
        us.ask("append " + note + " ours")
        converge(eu, us)
        kiosk.ask(f"await {eu.ask('version')[0]} {LIMIT}")
        self.assertEqual(kiosk.ask("show " + note)[1:], ["ours"])

        eu.ask("revoke " + self.key(us))
        us.ask("append " + note + " unheard")
        eu.ask("append " + note + " later")
        kiosk.ask(f"await {eu.ask('version')[0]} {LIMIT}")
        self.assertEqual(kiosk.ask("show " + note)[1:], ["ours", "later"])
        self.assertEqual(us.ask("show " + note)[1:], ["ours", "unheard"])

    def test_mistakes(self):
        key = self.key(self.keyed("eu"))
        eu = self.leader(CART, "plain")
        for line, message in [("admit " + key, "without --keys"), ("revoke x", '"x" is no public key'),
                              ("admit x", '"x" is no public key'), (f"admit {key} much", '"much" is neither')]:
            with self.assertRaises(Refused) as refused:
                eu.ask(line)
            self.assertIn(message, str(refused.exception))
        for options, code, message in [
            (["--admit", key], 2, "--admit needs --keys"),
            (["--keys", self.path("eu.key"), "--admit", "x"], 2, '--admit: "x" is no public key'),
            (["--keys", self.path("eu.key"), "--admit", key + "=all"], 2, '--admit: "all" is neither'),
            (["--keys", self.write("open.key", "")], 1, "open.key: others than its owner may use it"),
            (["--keys", self.path("no/folder.key")], 1, "no/folder.key: create: No such file"),
            (["--keys", self.path("eu.key"), "--admit", key, "--admit", key], 1, "is listed twice"),
            (["--keys", self.path("eu.key"), "--peer", "tcp://127.0.0.1:7001"], 1, "--peer"),
        ]:
            got, out, err = run(CART, *options)
            self.assertEqual((got, out), (code, ""), err)
            self.assertIn(message, err)


class Mistakes(Case):
    """Each ends with a message that says what is wrong with what, and no more than that."""

    def refused(self, *arguments, code=1, says=()):
        got, out, err = run(CART, *arguments, stdin="add milk\n")
        self.assertEqual((got, out), (code, ""), err)
        self.assertTrue(err.startswith("shopping_cart: "), err)
        self.assertEqual(err.count("\n"), 1, err)
        for word in says:
            self.assertIn(word, err)

    def test_options(self):
        self.refused("--colour", code=2, says=['unknown option "--colour"', "--help"])
        self.refused("--listen", code=2, says=["--listen needs a value"])
        self.refused("--data", "", code=2, says=["empty"])
        self.refused("--", code=2, says=["needs a command"])

    def test_addresses(self):
        self.refused("--listen", "7001", says=['--listen: "7001" is neither tcp://'])
        self.refused("--listen", "tcp://127.0.0.1:99999", says=["99999"])
        self.refused("--listen", "tcp://0.0.0.0:*", says=["insecure"])
        self.refused("--peer", "udp://127.0.0.1:7001", says=["udp://127.0.0.1:7001"])

    def test_port_in_use(self):
        eu = self.leader(CART, "eu")
        self.refused("--listen", eu.address, says=[eu.address, "in use"])

    def test_files(self):
        self.refused("--data", self.write("foreign.db", "not a database, and long enough to be sure of it\n" * 100),
                     says=["foreign.db"])
        self.assertEqual(self.text("foreign.db")[:14], "not a database")
        self.refused("--data", self.path("no/such/folder/eu.db"), says=["no/such/folder"])
        self.refused("--data", self.folder, says=[self.folder])
        self.refused("--data", "/proc/eu.db", says=["/proc/eu.db"])

    def test_file_held_by_another(self):
        self.leader(CART, "eu")
        self.refused("--data", self.path("eu.db"), says=["eu.db"])


PLAN = "The plan\n\nMonday: pack.\nTuesday: drive.\nWednesday: unpack.\n"


class Notes(Case):
    def test_commands(self):
        eu = self.leader(NOTES, "eu")
        note = eu.ask("new To do")[0]
        eu.ask(f"append {note} Grüße an Zoë 👋")
        eu.ask(f"insert {note} 5 \" viele\"")
        eu.ask(f"tag {note} home")
        self.assertEqual(eu.ask("show " + note), ["To do #home", "Grüße viele an Zoë 👋"])
        eu.ask(f"delete {note[:6]} 5 6")
        eu.ask(f"untag {note} home")
        eu.ask(f"title {note} Done")
        self.assertEqual(eu.ask("show " + note[:6]), ["Done", "Grüße an Zoë 👋"])
        self.assertEqual(eu.ask("list"), [f"{note}  Done  15 characters"])
        for line, message in [
            (f"insert {note} 16 x", "the note has 15 characters"),
            (f"delete {note} 10 6", "the note has 15 characters"),
            (f"untag {note} home", "no tag home"),
            ("show zzz", "there is no note zzz"),
            ('remove ""', "there is no note with an empty id"),
        ]:
            with self.assertRaises(Refused) as refused:
                eu.ask(line)
            self.assertIn(message, str(refused.exception))
        eu.ask("remove " + note)
        self.assertEqual(eu.ask("list"), ["no notes"])

    def test_changed_files_of_two_people_merge(self):
        eu, us = self.pair(NOTES)
        hers = self.write("plan.txt", PLAN)
        note = eu.ask("import " + hers)[0].split(":")[0]
        converge(eu, us)
        his = self.path("his.txt")
        us.ask(f"export {note} {his}")
        self.assertEqual(self.text("his.txt"), PLAN)

        # Both edit their files, neither having seen the other's changes, and import them one after the other.
        self.write("plan.txt", PLAN.replace("pack.", "pack the red bag.", 1).replace("The plan", "Our plan"))
        self.write("his.txt", PLAN.replace("drive", "take the train") + "Thursday: rest.\n")
        self.assertIn("edits", eu.ask("import " + hers)[0])
        converge(eu, us)
        us.ask("import " + his)
        converge(eu, us)
        merged = ("Our plan\n\nMonday: pack the red bag.\nTuesday: take the train.\nWednesday: unpack.\n"
                  "Thursday: rest.\n")
        for leader in eu, us:
            leader.ask(f"export {note} {self.path('merged.txt')}")
            self.assertEqual(self.text("merged.txt"), merged)
        # Nothing has changed since: nothing is edited.
        self.assertIn(" 0 edits", us.ask("import " + self.path("merged.txt"))[0])
        # What his file has not taken in yet is not taken back by its next import.
        self.write("his.txt", self.text("his.txt").replace("rest", "sleep"))
        us.ask("import " + his)
        us.ask(f"export {note} {his}")
        self.assertEqual(self.text("his.txt"), merged.replace("rest", "sleep"))

    def test_export_overwrites_no_changes(self):
        eu = self.leader(NOTES, "eu")
        plan = self.write("plan.txt", PLAN)
        note = eu.ask("import " + plan)[0].split(":")[0]
        eu.ask(f"append {note} more")
        self.write("plan.txt", PLAN + "mine\n")
        other = self.write("other.txt", "precious\n")
        for path in plan, other:
            with self.assertRaises(Refused) as refused:
                eu.ask(f"export {note} {path}")
            self.assertIn("has changes that are not in the note", str(refused.exception))
        self.assertEqual(self.text("other.txt"), "precious\n")
        eu.ask("import " + plan)
        eu.ask(f"export {note} {plan}")
        self.assertEqual(sorted(self.text("plan.txt").split("\n")), sorted((PLAN + "mine\nmore\n").split("\n")))
        os.symlink(other, self.path("link.txt"))
        eu.ask(f"export {note} {self.path('link.txt')} force")
        self.assertTrue(os.path.islink(self.path("link.txt")))
        self.assertEqual(self.text("other.txt"), self.text("plan.txt"))

    def test_cut_off_edits_of_one_line_merge(self):
        eu, us = self.pair(NOTES)
        note = eu.ask("import " + self.write("line.txt", "The quick brown fox"))[0].split(":")[0]
        converge(eu, us)
        eu.ask("disconnect " + us.address)
        us.ask("disconnect " + eu.address)
        eu.ask("import " + self.write("line.txt", "The very quick brown fox"))
        us.ask(f"import {self.write('other.txt', 'The quick brown cat')} {note}")
        eu.ask("connect " + us.address)
        us.ask("connect " + eu.address)
        converge(eu, us)
        self.assertEqual(eu.ask("show " + note), ["line.txt", "The very quick brown cat"])
        self.assertEqual(us.ask("show " + note), ["line.txt", "The very quick brown cat"])

    def test_file_name_is_remembered(self):
        eu = self.leader(NOTES, "eu")
        note = eu.ask("import " + self.write("a.txt", "one\n"))[0].split(":")[0]
        eu.quit()
        eu = self.leader(NOTES, "eu")
        self.assertTrue(eu.ask("import " + self.write("a.txt", "one\ntwo\n"))[0].startswith(f"{note}: 1 edit, 4 "))
        self.assertNotIn(note, eu.ask(f"import {self.path('a.txt')} new")[0])
        os.mkdir(self.path("other"))
        with self.assertRaises(Refused) as refused:
            eu.ask("import " + self.write("other/a.txt", "three\n"))
        self.assertIn("several notes", str(refused.exception))

    def test_large_files(self):
        eu = self.leader(NOTES, "eu")
        lines = [f"line {i} of a long file\n" for i in range(20000)]
        note = eu.ask("import " + self.write("long.txt", "".join(lines)))[0].split(":")[0]
        lines[10000] = "line 10000 has been changed\n"
        del lines[5000:5010]
        lines[15000:15000] = ["new\n"]
        eu.ask("import " + self.write("long.txt", "".join(lines)))
        eu.ask(f"export {note} {self.path('out.txt')}")
        self.assertEqual(self.text("out.txt"), "".join(lines))
        # Nothing in common: replaced, and soon.
        start = time.monotonic()
        other = "".join(f"{i * 7919 % 10007}\n" for i in range(60000))
        eu.ask("import " + self.write("long.txt", other))
        self.assertLess(time.monotonic() - start, LIMIT / 2)
        eu.ask(f"export {note} {self.path('out.txt')}")
        self.assertEqual(self.text("out.txt"), other)

    def test_bad_files(self):
        eu = self.leader(NOTES, "eu")
        for name, content, message in [
            ("latin1.txt", b"fine\nGr\xfc\xdfe\n", "not valid UTF-8: byte 8, in line 2; nothing was changed"),
            ("cut.txt", "Grü".encode()[:-1], "not valid UTF-8: byte 3, in line 1"),
            ("surrogate.txt", b"\xed\xa0\x80", "not valid UTF-8"),
            ("overlong.txt", b"\xc0\xaf", "not valid UTF-8"),
        ]:
            with self.assertRaises(Refused) as refused:
                eu.ask("import " + self.write(name, content))
            self.assertIn(message, str(refused.exception))
            self.assertIn(name, str(refused.exception))
        for path, message in [(self.path("missing.txt"), "No such file"), (self.folder, "not a regular file"),
                              ("/dev/zero", "not a regular file")]:
            with self.assertRaises(Refused) as refused:
                eu.ask("import " + path)
            self.assertIn(message, str(refused.exception))
        self.assertEqual(eu.ask("list"), ["no notes"])
        note = eu.ask("new x")[0]
        with self.assertRaises(Refused) as refused:
            eu.ask(f"export {note} {self.path('no/folder/x.txt')}")
        self.assertIn("No such file", str(refused.exception))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
