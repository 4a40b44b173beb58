# SPDX-License-Identifier: Apache-2.0
"""Leaders as processes, and their storages as files that can be copied, damaged, and put back."""
import asyncio
import contextlib
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import time

DISK = 24 << 20  # bytes of each leader's file system


class Died(Exception):
    """The leader's process ended, or was not there."""


class Silent(Exception):
    """It did not answer in time."""


class Leader:
    def __init__(self, cluster, index, level):
        self.cluster = cluster
        self.index = index
        self.name = "abcdefgh"[index]
        self.level = level
        self.folder = cluster.folder / self.name
        self.file = self.folder / "data.db"
        self.backup = cluster.folder / (self.name + ".backup")
        self.process = None
        self.expected_end = False
        self.life = 0         # counts its processes
        self.id = None
        self.ids = set()      # all that it ever had
        self.waiting = {}     # number -> (future, what to call with `saw`)
        self.refused = ""
        self.counters = {}
        self.folder.mkdir(parents=True)
        if cluster.isolated:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(self.folder)], check=True)

    # ---- the process ----

    @property
    def running(self):
        return self.process is not None

    async def start(self):
        """True if it is there; false if it refused to start, and `refused` says why."""
        net = self.cluster.network
        peers = len({j for pair in self.cluster.plan.links if self.index in pair for j in pair}) - 1
        listen = [f"tcp://{net.address(self.index)}:{port}" for port in (7001, 7002)]
        command = net.command(self.index) + [self.cluster.program, self.name, *listen, str(self.file), self.level,
                                             str(peers)]
        if self.cluster.plan.small:
            command.append("small")
        if self.cluster.bug:
            command.append("bug=" + self.cluster.bug)
        self.expected_end, self.refused = False, ""
        self.life += 1
        self.process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=self.cluster.errors, limit=1 << 24)
        ready = asyncio.get_running_loop().create_future()
        self.waiting["-"] = (ready, None)
        self.reading = asyncio.ensure_future(self.read(self.process))
        try:
            if not await asyncio.wait_for(asyncio.shield(ready), 30):
                await self.reading
                return False
            for i, j in self.cluster.plan.links:
                if i == self.index:
                    await self.ask("connect " + net.dialled(i, j))
            return True
        except Died:
            return False
        except asyncio.TimeoutError:
            raise Silent(f"{self.name} did not start within 30 s")

    async def read(self, process):
        with contextlib.suppress(ConnectionError):
            while line := (await process.stdout.readline()).decode().rstrip("\n"):
                self.heard(line)
        code = await process.wait()
        self.process = None
        for future, _ in self.waiting.values():
            if not future.done():
                future.set_exception(Died(f"{self.name} is gone"))
                future.exception()  # it may be that nobody waits any more
        self.waiting.clear()
        if not self.expected_end and not self.refused:
            self.cluster.complain("a leader's process ended by itself", f"{self.name}: exit status {code}")

    def heard(self, line):
        number, _, rest = line.partition(" ")
        if number == "-":
            word, _, detail = rest.partition(" ")
            if word == "ready":
                self.id = detail
                self.ids.add(detail)
            if word == "refused":
                self.refused = detail
            if word in ("ready", "refused"):
                future, _ = self.waiting.pop("-")
                if not future.done():
                    future.set_result(word == "ready")
                self.cluster.note(f"{self.name} {rest}")
            else:
                self.cluster.logged(self, rest)
            return
        entry = self.waiting.get(number)
        if entry is None:
            return
        if rest.startswith("saw "):
            entry[1](rest[4:].split(" "))
            return
        del self.waiting[number]
        if not entry[0].done():
            entry[0].set_result(rest)

    async def ask(self, line, number=None, saw=None, limit=20.0):
        """The answer to a command, without its number. Throws Died and Silent."""
        if not self.process:
            raise Died(f"{self.name} is down")
        number = str(number if number is not None else self.cluster.next_number())
        future = asyncio.get_running_loop().create_future()
        self.waiting[number] = (future, saw)
        try:
            self.process.stdin.write(f"{number} {line}\n".encode())
            return await asyncio.wait_for(asyncio.shield(future), limit)
        except asyncio.TimeoutError:
            raise Silent(f"{self.name} does not answer")
        except (ConnectionError, RuntimeError):
            raise Died(f"{self.name} is gone")

    async def status(self):
        answer = await self.ask("status", limit=10)
        found = dict(word.split("=", 1) for word in answer.split()[1:])
        self.counters = {k: int(v) for k, v in found.items() if "_" in k}
        if found["id"] != self.id:
            self.id = found["id"]
            self.ids.add(self.id)
        return found

    def signal(self, number):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def kill(self):
        self.expected_end = True
        self.signal(signal.SIGKILL)
        if self.process:
            await self.reading

    async def quit(self):
        """In good order, if it can within the time."""
        self.expected_end = True
        with contextlib.suppress(Died, Silent):
            await self.ask("quit", limit=5)
        await self.kill()

    # ---- the storage ----

    def files(self):
        return [f for f in sorted(self.folder.iterdir()) if f.name.startswith("data.db")]

    def take_backup(self):
        """As a crash would leave it: the process is frozen meanwhile."""
        self.signal(signal.SIGSTOP)
        shutil.rmtree(self.backup, ignore_errors=True)
        self.backup.mkdir()
        for f in self.files():
            if not f.name.endswith("-shm"):
                shutil.copy(f, self.backup)
        self.signal(signal.SIGCONT)

    def remove_storage(self):
        for f in self.files():
            f.unlink()

    def put_back(self):
        self.remove_storage()
        for f in self.backup.iterdir():
            shutil.copy(f, self.folder)

    def flip_bytes(self, draw):
        """Some bytes of a file, anywhere. What was done."""
        random_ = random.Random(draw)
        file = random_.choice([f for f in self.files() if f.stat().st_size > 0 and not f.name.endswith("-shm")])
        content = bytearray(file.read_bytes())
        places = sorted(random_.randrange(len(content)) for _ in range(random_.choice([1, 1, 2, 8])))
        for at in places:
            content[at] ^= random_.randrange(1, 256)
        file.write_bytes(content)
        return f"{file.name} ({len(content)} bytes) at {places}"

    def content(self):
        return {f.name: f.read_bytes() for f in self.files() if not f.name.endswith("-shm")}

    def fill_disk(self):
        if not self.cluster.isolated:
            used = max([f.stat().st_size for f in self.files()], default=0)
            self.limit_files(used + 4096)
            return
        with open(self.folder / "ballast", "ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def empty_disk(self):
        if self.cluster.isolated:
            (self.folder / "ballast").unlink(missing_ok=True)
        else:
            self.limit_files(resource.RLIM_INFINITY)

    def limit_files(self, size):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Cluster:
    """The leaders of a round. `complaints` are violations that need no history."""

    def __init__(self, plan, network, folder, program, bug):
        self.plan = plan
        self.network = network
        self.folder = pathlib.Path(folder)
        self.program = program
        self.bug = bug
        self.isolated = network.isolated
        self.began = time.monotonic()
        self.events = []       # (time, text)
        self.complaints = []   # (rule, text, time)
        self.warnings = {}     # log events and how often
        self.lost_storage = False
        self.control = 1 << 40
        self.errors = open(self.folder / "errors", "wb")
        self.leaders = [Leader(self, i, level) for i, level in enumerate(plan.levels)]

    def now(self):
        return time.monotonic() - self.began

    def next_number(self):
        self.control += 1
        return self.control

    def note(self, text):
        self.events.append((self.now(), text))

    def complain(self, rule, text):
        self.note(f"{rule}: {text}")
        self.complaints.append((rule, text, self.now()))

    # What a leader must never say of itself.
    WRONG = {
        "divergence": "two leaders have the same edits and differ",
        "repaired": "a leader's state was repaired",
        "identity_conflict": "a leader found its id in use",
        "incompatible_peer": "a leader took another for one of another version",
    }

    def logged(self, leader, line):
        event = next((w[6:] for w in line.split() if w.startswith("event=")), "")
        self.warnings[event] = self.warnings.get(event, 0) + 1
        line = line.split(" ", 2)[2]
        self.note(f"{leader.name}: {line}")
        if event == "new_id":
            leader.ids.add(line.rpartition(" peer=")[2].split()[0])
        if event in self.WRONG:
            self.complain(self.WRONG[event], f"{leader.name}: {line}")
        if event == "lost_edits" and not self.lost_storage:
            self.complain("a leader's edits were published and forgotten", f"{leader.name}: {line}")

    async def close(self):
        for leader in self.leaders:
            await leader.kill()
        self.errors.close()
        if self.isolated:
            for leader in self.leaders:
                subprocess.run(["umount", str(leader.folder)], check=True)
