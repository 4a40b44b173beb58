# SPDX-License-Identifier: Apache-2.0
"""A round: clients work while faults come and go, then all is healed, and the leaders must become equal."""
import asyncio
import contextlib
import dataclasses
import hashlib
import signal

import plan as plans
from cluster import Cluster, Died, Silent
from network import Network

PATIENCE = 6.0     # of a client, seconds
CONVERGENCE = 60.0 # after everything was healed


@dataclasses.dataclass
class Record:
    """An operation as its client saw it."""
    number: int
    client: int
    leader: int
    life: int            # which process of the leader
    board: str
    action: str
    arguments: list
    concern: int
    start: float
    session: int = 0     # which session of the client; 0: none
    end: float = 0.0
    outcome: str = "unknown"
    detail: str = ""
    mask: int = 0        # the operations that it saw
    saw: bool = False    # an edit was made, whatever became of it
    takes: tuple = ()    # the items that it took away
    value: str = ""      # what was read; of a claim, whose the key is, and who contests that
    home: str = ""       # of a claim: who has answered
    dots: tuple = ()     # (replica, first, last)
    complete: bool = False


@dataclasses.dataclass
class Loss:
    """A leader's storage went back, or was lost: what it alone had is gone."""
    leader: int
    since: float         # what it had then is still there
    at: float


class Round:
    def __init__(self, plan, folder, program, isolated, bug):
        self.plan = plan
        self.network = Network(plan.leaders, isolated)
        self.isolated = isolated
        self.token_ignored = bug == "token_ignored"  # the clients' own
        self.arguments = (folder, program, None if self.token_ignored else bug)
        self.cluster = None
        self.records = []
        self.losses = []
        self.faults = {}      # kind -> how often
        self.converged = None # seconds that it took
        self.closed = set()   # leaders that take no clients at the moment
        self.working = True
        self.phase_ends = 0.0
        self.backup_taken = None

    async def run(self):
        folder, program, bug = self.arguments
        await self.network.start()
        try:
            self.cluster = Cluster(self.plan, self.network, folder, program, bug)
            try:
                await self.play()
            finally:
                await self.cluster.close()
        finally:
            await self.network.close()

    async def play(self):
        c = self.cluster
        for leader in c.leaders:
            await self.start(leader)
        await self.until(self.connected, "the leaders did not find each other", 30)
        first = c.leaders[0]
        await self.order(first, "take-over", "any", first.name)
        clients = [asyncio.ensure_future(self.client(i, x)) for i, x in enumerate(self.plan.clients)]
        try:
            for number, faults in enumerate(self.plan.phases):
                c.note(f"phase {number + 1}")
                self.phase_ends = c.now() + self.plan.seconds
                extra = [self.take_backup()] if number == 0 else []
                async with asyncio.TaskGroup() as phase:  # if one of them fails, so do all
                    for work in [asyncio.sleep(self.plan.seconds), *map(self.fault, faults), *extra]:
                        phase.create_task(work)
                if number == 0 and self.plan.storage_fault:
                    await self.storage_fault()
            await self.last_restarts()
            await self.heal(c.leaders)
            began = c.now()
            c.note("all is healed")
            await asyncio.gather(*clients)
        finally:
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        if await self.until(self.equal, "the leaders did not become equal", CONVERGENCE):
            self.converged = c.now() - began
        for leader in c.leaders:
            for board in plans.BOARDS:
                await self.perform(leader, Record(0, -1, leader.index, leader.life, board, "read", [], 0, c.now()))

    async def until(self, condition, otherwise, seconds):
        """Waits for a condition, which says what it lacks; complains if it does not come true in time."""
        began = self.cluster.now()
        deadline = began + seconds
        lacks = "nothing was asked"
        while self.cluster.now() < deadline:
            try:
                lacks = await condition()
                if not lacks:
                    return True
            except (Died, Silent) as e:
                lacks = str(e)
            await asyncio.sleep(0.05)
        self.cluster.complain(otherwise, f"since {began:.3f}: {lacks}")
        return False

    async def connected(self, leaders=None):
        for leader in leaders or self.cluster.leaders:
            wanted = {j for pair in self.plan.links if leader.index in pair for j in pair} - {leader.index}
            up = (await leader.status())["up"].split(",")
            for j in wanted:
                if self.cluster.leaders[j].name not in up:
                    return f"{leader.name} does not hear {self.cluster.leaders[j].name}"
        return ""

    async def equal(self):
        states = [await leader.status() for leader in self.cluster.leaders]
        for key in ("failed", "conflict", "held"):
            for leader, s in zip(self.cluster.leaders, states):
                if s[key] != "0":
                    return f"{leader.name} is {key}"
        for key in ("versions", "digests"):
            if len({s[key] for s in states}) > 1:
                return f"{key} differ: " + "; ".join(s[key] for s in states)
        return ""

    # ---- clients ----

    async def client(self, index, plan):
        c = self.cluster
        token, session, behind = ("new", 1, 0) if plan.session else ("", 0, 0)
        claims = []
        for k, op in enumerate(plan.operations):
            await asyncio.sleep(op.gap)
            if not self.working:
                return
            leader = c.leaders[op.leader]
            arguments = list(op.arguments)
            if op.action == "pass":
                arguments.append(c.leaders[op.target].id)
            if op.action == "hand-over":
                arguments += [c.leaders[op.target].id, c.leaders[op.target].name]
            number = k * len(self.plan.clients) + index + 1
            if op.action == "claim":
                arguments = claims[int(op.again * len(claims))] if claims and op.again < 1 else [*arguments, str(number)]
                claims.append(arguments)
            plain = not token or op.action in plans.WITHOUT_SESSION
            record = Record(number, index, op.leader, leader.life, op.board, op.action, arguments, op.concern, c.now(),
                            0 if plain else session)
            after = await self.perform(leader, record, "" if plain else token)
            if plain:
                continue
            if record.outcome == "ok":
                token, behind = "new" if self.token_ignored else after, 0
            elif "session" in record.detail:
                behind += 1
                if behind == 3:  # what it waits for may have gone with a storage
                    token, behind, session = "new", 0, session + 1

    async def perform(self, leader, record, token=""):
        self.records.append(record)
        words = [record.board, record.action, *record.arguments]
        if record.concern:
            words.append(("answers=" if record.action == "read" else "acks=") + str(record.concern))
        if token:
            words.append("session=" + token)

        def saw(words):
            record.saw, record.mask, record.takes = True, mask_of(words[0]), items_of(words[1])

        after = ""
        if leader.index in self.closed:
            record.outcome, record.detail = "failed", "it takes no clients"
        else:
            number = record.number or self.cluster.next_number()
            try:
                answer = await leader.ask(" ".join(words), number, saw, PATIENCE)
                record.outcome, _, record.detail = answer.partition(" ")
            except Died as e:
                record.detail = str(e)
                record.outcome = "failed" if str(e).endswith("is down") else "unknown"
            except Silent as e:
                record.detail = str(e)
        record.end = self.cluster.now()
        if record.outcome == "ok":
            found = dict(word.split("=", 1) for word in record.detail.split())
            record.complete = found.get("complete") == "1" and record.concern > 0
            after = found.get("session", "")
            record.value, record.home = found.get("value", ""), found.get("home", "")
            if "mask" in found:
                record.mask = mask_of(found["mask"])
            if "dots" in found:
                replica, _, span = found["dots"].partition(":")
                record.dots = (replica, *map(int, span.split("-")))
        return after

    async def order(self, leader, *words):
        """What an operator orders of the claims."""
        record = Record(0, -1, leader.index, leader.life, "claims", words[0], list(words[1:]), 0, self.cluster.now())
        await self.perform(leader, record)
        return record

    # ---- faults ----

    async def start(self, leader):
        if await leader.start():
            return
        self.cluster.complain("a leader refused its own storage", f"{leader.name}: {leader.refused}")
        raise RuntimeError("a leader does not start: " + leader.refused)

    async def last_restarts(self):
        """The last edits of all are those that a leader makes when it has just started, and holds back because it does
        not hear all of its peers."""
        cut = []
        if self.plan.restarts:
            who = self.plan.restarts[0]
            other = min(j for pair in self.plan.links if who in pair for j in pair if j != who)
            cut = [self.network.directions[who, other], self.network.directions[other, who]]
            self.count("partition", f"{self.cluster.leaders[who].name} from {self.cluster.leaders[other].name}")
        for direction in cut:
            direction.cut()
        await asyncio.gather(*(self.restart(self.cluster.leaders[i]) for i in self.plan.restarts))
        await asyncio.sleep(self.plan.linger)
        self.working = False
        for direction in cut:
            direction.mend()

    async def restart(self, leader):
        self.count("kill", leader.name)
        await leader.kill()
        await self.start(leader)

    def count(self, kind, text):
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.cluster.note(f"{kind}: {text}")

    async def fault(self, f):
        await asyncio.sleep(f.at)
        c, net = self.cluster, self.network
        a, b = c.leaders[f.who], c.leaders[f.other]
        directions = [net.directions[f.who, f.other]]
        if f.kind == "partition":  # who is on the side of the first one is drawn
            side = {i for i in range(len(c.leaders)) if i == f.who or (i != f.other and int(f.draw * 2 ** (i + 8)) % 2)}
            directions = [d for (i, j), d in net.directions.items() if (i in side) != (j in side)]
            self.count(f.kind, "".join(c.leaders[i].name for i in sorted(side)) + f" from the others for {f.lasts:.2f} s")
        elif f.kind in ("cut one way", "reset", "delay", "throttle"):
            self.count(f.kind, f"{a.name} to {b.name} for {f.lasts:.2f} s")
        elif f.kind != "home away":
            self.count(f.kind, f"{a.name} for {f.lasts:.2f} s")
        if f.kind == "kill":
            await a.kill()
            await asyncio.sleep(f.lasts / 3)
            await self.start(a)
        elif f.kind == "stop cleanly":
            await a.quit()
            await asyncio.sleep(f.lasts / 3)
            await self.start(a)
        elif f.kind == "freeze":
            a.signal(signal.SIGSTOP)
            await asyncio.sleep(f.lasts)
            a.signal(signal.SIGCONT)
        elif f.kind == "disk full":
            a.fill_disk()
            await asyncio.sleep(f.lasts)
            a.empty_disk()
            await self.mend(a)
        elif f.kind == "link down":
            net.set_link(f.who, False)
            await asyncio.sleep(f.lasts)
            net.set_link(f.who, True)
        elif f.kind == "home away":
            await self.home_away(f, b)
        elif f.kind in ("cut one way", "partition"):
            for d in directions:
                d.cut()
            await asyncio.sleep(f.lasts)
            for d in directions:
                d.mend()
            if f.draw < 0.5:  # what waited is lost
                for (i, j), d in net.directions.items():
                    if d in directions:
                        net.reset(i, j)
        elif f.kind == "reset":
            times = 1 + int(f.draw * 4)
            for _ in range(times):
                net.reset(f.who, f.other)
                await asyncio.sleep(f.lasts / times)
        elif f.kind == "delay":
            directions[0].delay = 0.005 * 60 ** f.draw
            await asyncio.sleep(f.lasts)
            directions[0].delay = 0.0
        elif f.kind == "throttle":
            directions[0].rate = 1000 * 30 ** f.draw
            await asyncio.sleep(f.lasts)
            directions[0].rate = None
        elif f.kind == "clock skew":
            await self.skew(a, int((2 * f.draw - 1) * (400 if f.lasts < 1 else 20000)))
        else:
            raise ValueError(f.kind)
        c.note(f"{f.kind}: over")

    async def home_away(self, f, successor):
        """The home of some keys, or of all, is cut off, if it is there at all, and an operator orders that another
        leader takes over."""
        prefix = (*plans.PREFIXES, "any")[int(f.draw * 4)]
        known = await self.order(successor, "home", prefix)
        home = next((x for x in self.cluster.leaders if x.id == known.value), None)
        if known.outcome != "ok" or home is successor:
            return
        self.count(f.kind, f"{home.name if home else 'nobody'}, of {prefix}; {successor.name} takes over")
        if home:
            self.network.set_link(home.index, False)
        await asyncio.sleep(f.lasts / 4)
        await self.order(successor, "take-over", prefix, successor.name)
        await asyncio.sleep(f.lasts * 3 / 4)
        if home:
            self.network.set_link(home.index, True)

    async def skew(self, leader, milliseconds):
        self.cluster.note(f"the clock of {leader.name} goes wrong by {milliseconds} ms")
        try:
            await leader.ask(f"skew {milliseconds}", limit=5)
        except (Died, Silent):
            pass  # it starts again with the right time, or hears of this when it goes on

    async def mend(self, leader):
        """A leader whose storage has failed says so in its answers, and goes on when it is started again."""
        try:
            if leader.running and (await leader.status())["failed"] == "0":
                return
        except (Died, Silent):
            pass
        await leader.kill()
        await self.start(leader)

    async def heal(self, leaders):
        for leader in leaders:
            leader.signal(signal.SIGCONT)
            await self.mend(leader)

    async def take_backup(self):
        """While its edits are held back a storage is not to be copied: they would be made once more."""
        if not self.plan.storage_fault:
            return
        await asyncio.sleep(self.plan.backup_at)
        victim = self.cluster.leaders[self.plan.victim]
        while not self.backup_taken and self.cluster.now() < self.phase_ends:
            with contextlib.suppress(Died, Silent):
                if not await self.published(victim):
                    self.backup_taken = self.cluster.now()
                    victim.take_backup()
                    self.cluster.note(f"the storage of {victim.name} was copied")
            await asyncio.sleep(0.02)

    async def storage_fault(self):
        """The last edits of the victim reach nobody. It comes back when the others are there, as its documentation
        asks for, or takes a new id; until then nobody writes there."""
        c, kind = self.cluster, self.plan.storage_fault
        victim = c.leaders[self.plan.victim]
        await self.heal([victim])
        self.network.set_link(victim.index, False)
        await asyncio.sleep(0.3)
        self.closed.add(victim.index)
        await victim.kill()
        loss = Loss(victim.index, 0.0, c.now())
        self.network.set_link(victim.index, True)
        others = [x for x in c.leaders if x is not victim]
        await self.heal(others)
        before = victim.ids.copy()
        if kind == "old backup" and not self.backup_taken:
            kind = "storage lost"
        self.count(kind, victim.name)
        c.lost_storage = True
        self.losses.append(loss)
        if kind == "bytes flipped":
            c.note("flipped: " + victim.flip_bytes(self.plan.draw))
            damaged = victim.content()
            if not await victim.start():
                if f"open '{victim.file}'" not in victim.refused:
                    c.complain("a damaged storage is refused without a clear word", f"{victim.name}: {victim.refused}")
                if victim.content() != damaged:
                    c.complain("a damaged storage was changed by who refused it", victim.name)
                self.faults["flips refused"] = self.faults.get("flips refused", 0) + 1
                kind = "old backup" if self.backup_taken and self.plan.draw < 0.5 else "storage lost"
                c.note(f"instead: {kind}")
        if kind == "old backup":
            victim.put_back()
            loss.since = self.backup_taken
        elif kind == "storage lost":
            victim.remove_storage()
        if not victim.running:
            await self.start(victim)
        await self.until(lambda: self.connected([victim] + others), "a restored leader did not find the others", 30)
        if kind == "old backup" and self.plan.take_new_id:
            answer = await victim.ask("take-new-id")
            c.note(f"{victim.name} takes a new id: {answer}")
        if kind == "storage lost":
            for old in before - {victim.id}:
                await others[0].ask(f"evict {old}")
        await self.until(lambda: self.published(victim), "a restored leader keeps its edits back", 30)
        self.closed.discard(victim.index)

    async def published(self, leader):
        return f"{leader.name} holds its edits" if (await leader.status())["held"] != "0" else ""


def mask_of(digits):
    return int.from_bytes(bytes.fromhex(digits), "little")


def items_of(text):
    return () if text == "-" else tuple(text.split(","))


def fingerprint(plan):
    return hashlib.sha256(repr(plan).encode()).hexdigest()[:12]
