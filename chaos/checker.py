# SPDX-License-Identifier: Apache-2.0
"""Judges a recorded history. Every operation signs the journal of its board in the edit that it makes, so a read names
the operations that it shows (its mask), and all that it shows must follow from these.

A violation is (rule, explanation, records). The rules:

  shown    nothing is shown of an operation that failed, or that never was
  exact    a board is what the operations of its mask make of it; what one saw and took away is gone
  equal    boards with one mask are equal
  order    characters of a text never change their order
  causal   who shows an operation shows all that it had seen
  forward  a leader's process never shows less than before
  session  a session sees its own writes, and what it has seen before, wherever it goes
  concern  a read that asked enough leaders sees what enough leaders had acknowledged before it began
  durable  what was acknowledged is there in the end, unless the only storage that had it was lost
  dots     no two operations have the same dot
  bank     no account ever falls below zero
  claims   two owners have a key only if another home has taken over, and neither was granted it where the other was;
           nobody grants a key who was never its home;
           who asks again is told the same; nobody is told of an owner who never asked for this key

A claim is made where its home is, not where it is asked for, and has no journal: a read's mask is the owners that it
shows, each of them the number of the operation that asked first.
"""
import bisect
import collections


def bits(mask):
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def moves(records):
    """What became of the operations of sessions at another leader than their last one: how many were answered with all
    that the session had seen, were told that the leader is "behind", or were not answered."""
    found = collections.Counter(arrived=0, behind=0, unanswered=0)
    last = {}
    for r in sorted(records, key=lambda r: r.start):
        if not r.session:
            continue
        before = last.get((r.client, r.session), r.leader)
        last[r.client, r.session] = r.leader
        if before == r.leader:
            continue
        behind = r.outcome == "failed" and "session" in r.detail
        found["arrived" if r.outcome == "ok" else "behind" if behind else "unanswered"] += 1
    return found


class History:
    def __init__(self, records, losses, leaders):
        self.records = records
        self.losses = losses
        self.leaders = leaders
        self.by_number = {r.number: r for r in records if r.number and r.action != "read"}
        self.violations = []
        self.finals = {}     # board -> mask that the reads at the end agree upon
        self.lost = 0        # mask of what went with a storage
        self.lost_records = []
        self.contested = set()  # keys that have two owners in the end

    def violate(self, rule, text, *records):
        if sum(v[0] == rule for v in self.violations) < 5:  # more of a kind explain no more
            self.violations.append((rule, text, list(records)))

    def check(self):
        for r in self.records:
            if r.action == "read" and r.client < 0 and r.outcome == "ok":
                self.finals[r.board] = self.finals.get(r.board, 0) | r.mask
        self.dots()
        self.durable()
        self.claims()
        for board in {r.board for r in self.records}:
            mine = [r for r in self.records if r.board == board]
            seen = [r for r in mine if (r.outcome == "ok" or r.saw) and r.outcome != "failed"]
            if board == "claims":
                seen = [r for r in seen if r.action == "read"]
            else:
                self.shown(board, seen)
            self.exact(board, [r for r in seen if r.action == "read"])
            self.causal(seen)
            self.forward(seen)
            self.sessions(seen)
            self.concern(seen)
        return self.violations

    # ---- what is durable ----

    def at_risk(self, r):
        """Whether it may have gone with its leader's storage, as nobody else had it. Who has acknowledged a later edit
        of the same replica had it, too."""
        replica, _, last = r.dots or ("", 0, 0)
        for loss in self.losses:
            if r.leader != loss.leader or r.start >= loss.at or r.end <= loss.since:
                continue
            if not r.dots or not any(l >= last and end <= loss.at for l, end in self.acknowledged[r.board, replica]):
                return True
        return False

    def dots(self):
        self.acknowledged = collections.defaultdict(list)
        owners = collections.defaultdict(list)
        for r in self.records:
            if not r.dots:
                continue
            replica, first, last = r.dots
            owners[r.board, replica].append((first, last, r))
            if r.complete:
                self.acknowledged[r.board, replica].append((last, r.end))
        for all_ in owners.values():
            all_.sort(key=lambda x: x[0])
            for (_, last, a), (first, _, b) in zip(all_, all_[1:]):
                if first > last:
                    continue
                gone = [r for r in (a, b) if self.at_risk(r) and not self.finals.get(r.board, 0) >> r.number & 1]
                if not gone:
                    self.violate("dots", "two operations were given the same dot", a, b)

    def durable(self):
        for r in self.by_number.values():
            if r.board not in self.finals or r.board == "claims" or self.finals[r.board] >> r.number & 1:
                continue
            if r.outcome == "ok" and not self.at_risk(r):
                self.violate("durable", "it was acknowledged and is not there in the end", r)
            if self.at_risk(r):
                self.lost |= 1 << r.number
                if r.outcome == "ok":
                    self.lost_records.append(r)

    # ---- claims ----

    def claims(self):
        self.asked_for = {tuple(r.arguments) for r in self.by_number.values()
                          if r.action == "claim" and r.outcome != "failed"}
        answers = collections.defaultdict(list)  # key -> those that came
        for r in self.by_number.values():
            if r.action == "claim" and r.outcome == "ok":
                answers[r.arguments[0]].append(r)
        final = self.finals.get("claims")
        for key, told in answers.items():
            for r in told:
                for owner in split(r.value):
                    if not self.may_own(owner, key):
                        self.violate("claims", f"{owner} is said to have {key}, and never asked for it", r)
                    elif final is not None and not final >> int(owner) & 1:
                        if not self.at_risk_at_home(r):
                            self.violate("durable", f"{owner} was said to have {key}, and has not in the end", r)
                        elif not self.lost >> int(owner) & 1:
                            self.lost |= 1 << int(owner)
                            self.lost_records.append(r)
            self.asked_again(key, sorted(told, key=lambda r: r.end))

    def asked_again(self, key, told):
        """As long as nobody takes over, and no storage is lost, every answer names the same owner."""
        for before, r in zip(told, told[1:]):
            changes = [x.at for x in self.losses] + [x.start for x in self.take_overs(key)]
            if split(r.value)[0] != split(before.value)[0] and not any(at <= r.end for at in changes):
                self.violate("claims", f"the owner of {key} changes, and nobody has taken over", before, r)

    def take_overs(self, key):
        """Those that can bring a conflict: all but the first one, when nobody else had been the home."""
        orders = [r for r in self.records if r.action == "take-over" and r.arguments[0] in ("any", key[0])]
        return [r for r in sorted(orders, key=lambda r: r.start)[1:] if r.outcome != "failed"]

    def was_appointed(self, home, key, before):
        """Whether it may be a home of this key by then: where an order's outcome is unknown, so is whom it appointed."""
        return any(r.action in ("hand-over", "take-over") and r.arguments[0] in ("any", key[0]) and r.start < before
                   and (home in (r.value, *r.arguments[1:2]) and r.outcome != "failed"
                        or r.action == "take-over" and r.outcome == "unknown") for r in self.records)

    def may_own(self, owner, key):
        return (key, owner) in self.asked_for

    def at_risk_at_home(self, r):
        return any((not r.home or r.home == "abcdefgh"[x.leader]) and r.start < x.at and r.end > x.since
                   for x in self.losses)

    def show_claims(self, r):
        owners, appointed = collections.defaultdict(list), set()
        for item in split(r.value):
            key, owner, epoch, home = item.split(":")
            if not self.may_own(owner, key):
                return f"{key} is {owner}'s, who never asked for it"
            if (home, key[0]) not in appointed:
                if not self.was_appointed(home, key, r.end):
                    return f"{key} was granted to {owner} by {home}, which was never its home"
                appointed.add((home, key[0]))
            owners[key].append((owner, (epoch, home)))
        for key, all_ in owners.items():
            living = [(owner, at) for owner, at in all_ if not self.lost >> int(owner) & 1]
            if len(living) > 1 and len({at for _, at in living}) < len(living):
                return f"one home has granted {key} twice: {all_}"
            if len(living) > 1 and r.client < 0:
                self.contested.add(key)
            if len(living) > 1 and not any(x.start < r.end for x in self.take_overs(key)):
                return f"{key} has two owners, and nobody has taken over: {all_}"
        return ""

    # ---- what is shown ----

    def shown(self, board, seen):
        good = bad = 0
        for r in seen:
            for n in bits(r.mask & ~good & ~bad):
                other = self.by_number.get(n)
                if other and other.board == board and other.saw and other.outcome != "failed":
                    good |= 1 << n
                else:
                    bad |= 1 << n
                    self.violate("shown", f"operation {n} is shown, which never was", r, *filter(None, [other]))

    def exact(self, board, reads):
        values, order, final = {}, None, None
        for r in reads:
            if r.mask in values:
                if values[r.mask].value != r.value and board != "claims":  # one owner may have been granted it twice
                    self.violate("equal", "the same operations, and not the same board", values[r.mask], r)
                continue
            values[r.mask] = r
            problem = getattr(self, "show_" + board)(r)
            if problem:
                rule = "claims" if board == "claims" else "bank" if "below zero" in problem else "exact"
                self.violate(rule, problem, r)
        if board != "text":
            return
        for r in reads:
            if r.client < 0:
                final = r
        if final is None:
            return
        order = {c: i for i, c in enumerate(split(final.value))}
        for r in values.values():
            known = [order[c] for c in split(r.value) if c in order]
            if known != sorted(known):
                self.violate("order", "characters stand in another order in the end", r, final)

    def operations(self, mask):
        for n in bits(mask):
            r = self.by_number.get(n)
            if r:
                yield r

    def living(self, r, made):
        """Of the items that the operations of a mask made, those that none of them took away."""
        items, taken = {}, set()
        for op in self.operations(r.mask):
            for item in made(op):
                items[item] = op
            taken.update(op.takes)
        return {i for i in items if i not in taken}

    @staticmethod
    def compare(found, wanted):
        if len(set(found)) < len(found):
            return "something is there twice: " + " ".join(sorted({x for x in found if found.count(x) > 1}))
        extra, missing = set(found) - wanted, wanted - set(found)
        if extra or missing:
            return f"missing: {' '.join(sorted(missing)) or 'nothing'}; too much: {' '.join(sorted(extra)) or 'nothing'}"
        return ""

    def show_set(self, r):
        return self.compare(split(r.value), self.living(r, lambda op: [str(op.number)] if op.action == "add" else []))

    def show_registers(self, r):
        def made(op):
            return [str(op.number)] if op.action.endswith("-set") else []
        names = {}
        for item in split(r.value):
            kind, key, number = item.split(":")
            names[number] = (kind, key)
        for number, (kind, key) in names.items():
            op = self.by_number.get(int(number))
            if op is None or op.action != kind + "-set" or op.arguments[0] != key:
                return f"{kind}:{key} shows {number}, which was not written there"
        return self.compare([item.rpartition(":")[2] for item in split(r.value)], self.living(r, made))

    def show_counter(self, r):
        wanted = sum(int(op.arguments[0]) for op in self.operations(r.mask))
        return "" if int(r.value) == wanted else f"it shows {r.value}, and the sum is {wanted}"

    def show_bank(self, r):
        wanted = collections.Counter()
        for op in self.operations(r.mask):
            n = int(op.arguments[1])
            if op.action == "deposit":
                wanted[op.arguments[0]] += n
            elif op.action in ("withdraw", "draw", "move"):
                wanted[op.arguments[0]] -= n
            if op.action == "move":
                wanted[op.arguments[2]] += n
        below = {k: v for k, v in wanted.items() if v < 0}
        if below:
            return f"below zero: {below}"
        found = {k: int(v) for k, v in (x.split(":") for x in split(r.value))}
        for account in found.keys() | wanted.keys():
            if found.get(account, 0) != wanted[account]:
                return f"{account} shows {found.get(account, 0)}, and has {wanted[account]}"
        return ""

    def show_text(self, r):
        def made(op):
            return [str(op.number * 8 + i) for i in range(min(int(op.arguments[1]), 8))] if op.action == "insert" else []
        found = split(r.value)
        problem = self.compare(found, self.living(r, made))
        if problem:
            return problem
        last = {}
        for c in map(int, found):
            if last.get(c // 8, -1) > c:
                return f"the characters of operation {c // 8} are not in the order in which they were inserted"
            last[c // 8] = c
        return ""

    # ---- in which order things are shown ----

    def causal(self, seen):
        checked = set()
        for r in seen:
            if r.mask in checked:
                continue
            checked.add(r.mask)
            for op in self.operations(r.mask):
                lacks = op.mask & ~r.mask & ~self.lost
                if lacks:
                    other = self.by_number.get(next(bits(lacks)))
                    self.violate("causal", f"{r.number or 'the last read'} shows {op.number}, and not all that this had "
                                 "seen", r, op, *filter(None, [other]))
                    break

    def forward(self, seen):
        lives = collections.defaultdict(list)
        for r in seen:
            if r.outcome == "ok":
                lives[r.leader, r.life].append(r)
        for all_ in lives.values():
            self.nothing_vanishes("forward", "its process had shown more before", all_)

    def nothing_vanishes(self, rule, text, records):
        """What one of them has shown when another one begins, that one shows too."""
        ended = sorted(records, key=lambda r: r.end)
        times, union, unions = [], 0, []
        for r in ended:
            union |= r.mask | (1 << r.number if r.action != "read" else 0)
            times.append(r.end)
            unions.append(union)
        for r in records:
            before = bisect.bisect_left(times, r.start)
            lacks = unions[before - 1] & ~r.mask & ~self.lost if before else 0
            if lacks:
                n = next(bits(lacks))
                who = next(x for x in ended if x.mask >> n & 1 or x.number == n)
                self.violate(rule, f"{text}: {n}", r, who, *filter(None, [self.by_number.get(n)]))

    def sessions(self, seen):
        sessions = collections.defaultdict(list)
        for r in seen:
            if r.session and r.outcome == "ok":
                sessions[r.client, r.session].append(r)
        for all_ in sessions.values():
            self.nothing_vanishes("session", "the session had seen, or made, more before", all_)

    def concern(self, seen):
        writes = [r for r in seen if r.action != "read" and r.outcome == "ok"]
        for read in seen:
            if read.action != "read" or not read.complete:
                continue
            for w in writes:
                enough = (w.concern if w.complete else 0) + 1 + read.concern + 1 > self.leaders
                if not enough or w.end >= read.start or read.mask >> w.number & 1:
                    continue
                if any(w.start <= x.at <= read.end or self.lost >> w.number & 1 for x in self.losses):
                    continue
                self.violate("concern", f"a read that {read.concern} peers answered does not see a write that "
                             f"{w.concern if w.complete else 0} had acknowledged", read, w)


def split(text):
    return [] if text in ("-", "") else text.split(",")
