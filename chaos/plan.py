# SPDX-License-Identifier: Apache-2.0
"""What happens in a round, as data, all of it drawn from the seed: leaders, links, operations, and faults."""
import dataclasses
import random

BOARDS = ("set", "counter", "registers", "bank", "text", "claims")
WITHOUT_SESSION = ("draw", "claim", "hand-over", "take-over")  # their edits are not made by the leader alone
PREFIXES = ("p", "q", "r")  # of the keys that are claimed

# How often each comes, and whether it befalls a process (one at a time), the network, or a clock.
FAULTS = {
    "kill": (10, "process"),          # kill -9, and a restart
    "stop cleanly": (3, "process"),
    "freeze": (6, "process"),         # SIGSTOP, SIGCONT
    "disk full": (4, "process"),
    "link down": (5, "network"),      # of one leader
    "cut one way": (6, "network"),    # bytes wait, as TCP's do
    "partition": (5, "network"),
    "reset": (7, "network"),          # connections of a pair are reset, now and again
    "delay": (6, "network"),
    "throttle": (3, "network"),
    "home away": (8, "network"),      # of claims: another one takes over
    "clock skew": (6, "clock"),
}
STORAGE_FAULTS = ("bytes flipped", "old backup", "storage lost")


@dataclasses.dataclass
class Fault:
    at: float        # seconds since the phase began
    kind: str
    who: int         # a leader
    other: int       # another one
    lasts: float
    draw: float      # in [0, 1): how bad, and which way


@dataclasses.dataclass
class Operation:
    gap: float       # seconds after the client's last answer
    leader: int
    board: str
    action: str
    arguments: list
    concern: int = 0  # how many peers are to acknowledge or to answer
    target: int = 0   # the leader that rights, or keys, are passed on to
    again: float = 1  # below 1, of a claim: which of the client's own is asked again


@dataclasses.dataclass
class Client:
    session: bool
    operations: list


@dataclasses.dataclass
class Round:
    leaders: int
    links: list            # (who dials, whom)
    shape: str
    levels: list           # of durability
    small: bool            # caps that are met all the time
    clients: list
    phases: list           # two lists of faults, each healed at its end
    seconds: float         # of one phase
    backup_at: float       # of every storage, in the first phase
    storage_fault: str     # between the phases; none: ""
    victim: int
    draw: float
    take_new_id: bool      # after a backup was put back
    restarts: list         # leaders that are killed at the end, and start together,
    linger: float          # and how long clients work on after that


def links(random_, leaders):
    shape = random_.choices(["mesh", "line", "ring", "star"], [5, 2, 2, 1])[0]
    everybody = range(leaders)
    if shape == "mesh":
        pairs = [(i, j) for i in everybody for j in everybody if i < j]
    elif shape == "line":
        pairs = [(i, i + 1) for i in range(leaders - 1)]
    elif shape == "ring":
        pairs = sorted({tuple(sorted((i, (i + 1) % leaders))) for i in everybody} - {(0, 0)})
    else:
        pairs = [(0, i) for i in range(1, leaders)]
    dialled = []
    for i, j in pairs:
        way = random_.randrange(3)
        if way != 1:
            dialled.append((i, j))
        if way != 0:
            dialled.append((j, i))
    return shape, dialled


def operation(random_, leader, leaders, time):
    gap = random_.expovariate(1 / 0.04)
    board = random_.choice(BOARDS)
    concern = random_.randrange(1, leaders) if random_.random() < 0.25 else 0
    target = random_.choice([i for i in range(leaders) if i != leader])
    if random_.random() < 0.35:
        return Operation(gap, leader, board, "read", [], concern)
    place = f"{random_.random():.3f}"
    if board == "set":
        action, arguments = ("add", []) if random_.random() < 0.7 else ("remove", [place])
    elif board == "counter":
        action, arguments = "count", [str(random_.choice([-1, 1]) * random_.randint(1, 9))]
    elif board == "registers":
        kind = random_.choice(["last", "all"])
        action = kind + ("-set" if random_.random() < 0.8 else "-erase")
        arguments = [random_.choice("xyz")]
    elif board == "bank":
        action = random_.choices(["deposit", "withdraw", "draw", "move", "pass"], [4, 4, 3, 2, 2])[0]
        one, two = random_.sample("uvw", 2)
        arguments = [one, str(random_.randint(1, 12))] + ([two] if action == "move" else [])
    elif board == "claims":
        if random_.random() < 0.04:
            return Operation(gap, leader, board, "hand-over", [random_.choice(PREFIXES)], target=target)
        again = random_.random() if random_.random() < 0.25 else 1
        late = int(time * 4 * (1 if random_.random() < 0.8 else random_.random()))  # most want what is new
        return Operation(gap, leader, board, "claim", [random_.choice(PREFIXES) + str(late + random_.randrange(3))],
                         again=again)
    else:
        action = "insert" if random_.random() < 0.65 else "erase"
        arguments = [place, str(random_.randint(1, 8))]
    return Operation(gap, leader, board, action, arguments, concern, target)


def client(random_, leaders, seconds):
    """Some stay at a leader for a while, and some go to another one with every operation."""
    roams = random_.random() < 0.5
    operations, leader, time = [], random_.randrange(leaders), 0.0
    while time < seconds:
        if roams or random_.random() < 0.05:
            leader = random_.randrange(leaders)
        operations.append(operation(random_, leader, leaders, time))
        time += operations[-1].gap + 0.002
    return Client(random_.random() < 0.5, operations)


def faults(random_, leaders, seconds, kinds):
    """Of a phase: at any time one leader at least is a living process, and the clock's faults may outlast it."""
    found, at = [], 0.3
    busy = [0.0] * leaders  # until when something happens to its process
    while True:
        at += random_.expovariate(1 / 0.55)
        if at > seconds - 0.3:
            return found
        kind = random_.choices(kinds, [FAULTS[k][0] for k in kinds])[0]
        who, other = random_.sample(range(leaders), 2)
        fault = Fault(at, kind, who, other, min(random_.uniform(0.1, 3.0), seconds - at), random_.random())
        if FAULTS[kind][1] == "process":
            if busy[who] > at or sum(until > at for until in busy) == leaders - 1:
                continue
            busy[who] = at + fault.lasts + 0.3
        found.append(fault)


def draw(seed, number, seconds, kinds=tuple(FAULTS)):
    """The round of this number. The same arguments give the same round."""
    random_ = random.Random(f"{seed}/{number}")
    leaders = random_.choices([2, 3, 4, 5], [2, 5, 3, 1])[0]
    shape, dialled = links(random_, leaders)
    phase = seconds / 2
    victim = random_.randrange(leaders)
    storage_fault = random_.choice(("",) + STORAGE_FAULTS)
    levels = [random_.choice(["full", "full", "relaxed"]) for _ in range(leaders)]
    if storage_fault == "bytes flipped":
        levels[victim] = "full"  # at level relaxed damage to the log cannot be told from the end of the power
    return Round(
        leaders=leaders, links=dialled, shape=shape,
        levels=levels,
        small=random_.random() < 0.5,
        clients=[client(random_, leaders, seconds) for _ in range(random_.randint(5, 9))],
        phases=[faults(random_, leaders, phase, kinds) for _ in range(2)],
        seconds=phase,
        backup_at=random_.uniform(0.5, phase - 0.5),
        storage_fault=storage_fault,
        victim=victim,
        draw=random_.random(),
        take_new_id=random_.random() < 0.5,
        restarts=[i for i in range(leaders) if random_.random() < 0.4],
        linger=random_.uniform(0.05, 0.5))
