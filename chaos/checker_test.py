#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small histories, right ones and one for each rule that is broken."""
import unittest

from checker import History, moves
from round import Loss, Record


class Story:
    """Operations one after the other, a second each."""

    def __init__(self, leaders=3):
        self.leaders = leaders
        self.records = []
        self.losses = []
        self.history = None
        self.dots = {}

    def add(self, board, action, *arguments, leader=0, mask=0, **more):
        now = float(len(self.records))
        number = len(self.records) + 1
        r = Record(number, 0, leader, 1, board, action, list(arguments), 0, now, end=now + 0.5, outcome="ok", mask=mask)
        if action != "read":
            r.saw = True
            first = self.dots.get((board, leader), 0) + 1
            self.dots[board, leader] = first
            r.dots = (f"replica {leader}", first, first)
        for key, value in more.items():
            setattr(r, key, value)
        self.records.append(r)
        return r

    def read(self, board, value, *numbers, **more):
        return self.add(board, "read", mask=bits(*numbers), value=value, **more)

    def claim(self, key, said, owner=None, **more):
        return self.add("claims", "claim", key, str(owner or len(self.records) + 1), value=said, home="a", dots=(), saw=False,
                        **more)

    def take_over(self, prefix="any", leader=0, **more):
        home = "abc"[leader]
        self.add("claims", "take-over", prefix, home, leader=leader, value=home, dots=(), saw=False, client=-1, **more)

    def end(self, board, value, *numbers):
        for leader in range(self.leaders):
            self.read(board, value, *numbers, leader=leader, client=-1, life=2)

    def broken(self):
        self.history = History(self.records, self.losses, self.leaders)
        return sorted({v[0] for v in self.history.check()})


def bits(*numbers):
    return sum(1 << n for n in numbers)


class Rules(unittest.TestCase):
    def setUp(self):
        self.story = Story()

    def expect(self, *rules):
        self.assertEqual(self.story.broken(), sorted(rules))

    def test_nothing_is_wrong(self):
        s = self.story
        s.add("set", "add")                                      # 1
        s.add("set", "add", leader=1)                            # 2, concurrent
        s.add("set", "remove", "0", mask=bits(1), takes=("1",))  # 3
        s.end("set", "2", 1, 2, 3)
        self.expect()

    def test_acknowledged_and_gone(self):
        self.story.add("set", "add")
        self.story.end("set", "-")
        self.expect("durable")

    def test_gone_with_the_only_storage_that_had_it(self):
        self.story.add("set", "add")
        self.story.losses.append(Loss(0, 0.0, 0.7))
        self.story.end("set", "-")
        self.expect()

    def test_gone_although_a_peer_had_it(self):
        self.story.add("set", "add", concern=1, complete=True)
        self.story.losses.append(Loss(0, 0.0, 0.7))
        self.story.end("set", "-")
        self.expect("durable")

    def test_gone_although_a_later_edit_had_been_acknowledged_by_a_peer(self):
        self.story.add("set", "add")
        self.story.add("set", "add", concern=1, complete=True, mask=bits(1))
        self.story.losses.append(Loss(0, 0.0, 1.7))
        self.story.end("set", "-")
        self.expect("durable")

    def test_gone_with_its_storage_and_its_dot_used_again(self):
        self.story.add("set", "add")
        self.story.losses.append(Loss(0, 0.0, 0.7))
        self.story.add("set", "add", dots=("replica 0", 1, 1), concern=1, complete=True)
        self.story.end("set", "2", 2)
        self.expect()

    def test_failed_and_shown(self):
        self.story.add("counter", "count", "4", outcome="failed", dots=())
        self.story.end("counter", "4", 1)
        self.expect("shown")

    def test_unknown_and_shown(self):
        self.story.add("counter", "count", "4", outcome="unknown", dots=())
        self.story.end("counter", "4", 1)
        self.expect()

    def test_counted_twice(self):
        self.story.add("counter", "count", "4")
        self.story.end("counter", "8", 1)
        self.expect("exact")

    def test_removed_and_back(self):
        self.story.add("set", "add")
        self.story.add("set", "remove", "0", mask=bits(1), takes=("1",))
        self.story.end("set", "1", 1, 2)
        self.expect("exact")

    def test_a_sibling_is_lost(self):
        self.story.add("registers", "all-set", "x")
        self.story.add("registers", "all-set", "x", leader=1)
        self.story.end("registers", "all:x:2", 1, 2)
        self.expect("exact")

    def test_a_value_under_another_key(self):
        self.story.add("registers", "last-set", "x")
        self.story.end("registers", "last:y:1", 1)
        self.expect("exact")

    def test_leaders_differ(self):
        self.story.add("registers", "last-set", "x")
        self.story.add("registers", "last-set", "x", leader=1)
        self.story.read("registers", "last:x:1,last:x:2", 1, 2)
        self.story.end("registers", "last:x:2,last:x:1", 1, 2)
        self.expect("equal")

    def test_below_zero(self):
        self.story.add("bank", "deposit", "u", "5")
        self.story.add("bank", "withdraw", "u", "4", mask=bits(1))
        self.story.add("bank", "withdraw", "u", "4", mask=bits(1), leader=1)
        self.story.end("bank", "u:0", 1, 2, 3)
        self.expect("bank")

    def test_money_is_made(self):
        self.story.add("bank", "deposit", "u", "5")
        self.story.add("bank", "move", "u", "4", "v", mask=bits(1))
        self.story.end("bank", "u:5,v:4", 1, 2)
        self.expect("exact")

    def test_a_character_twice(self):
        self.story.add("text", "insert", "0", "2")
        self.story.end("text", "8,9,8", 1)
        self.expect("exact", "order")

    def test_a_word_in_disorder(self):
        self.story.add("text", "insert", "0", "2")
        self.story.end("text", "9,8", 1)
        self.expect("exact")

    def test_words_change_places(self):
        self.story.add("text", "insert", "0", "1")
        self.story.add("text", "insert", "0", "1", leader=1)
        self.story.add("text", "insert", "0", "1", leader=2)
        self.story.read("text", "8,16", 1, 2)
        self.story.end("text", "16,8,24", 1, 2, 3)
        self.expect("order")

    def test_effect_before_cause(self):
        self.story.add("set", "add")
        self.story.add("set", "add", mask=bits(1), leader=1)
        self.story.read("set", "2", 2, leader=2)
        self.story.end("set", "1,2", 1, 2)
        self.expect("causal")

    def test_a_process_goes_back(self):
        self.story.add("set", "add", leader=1)
        self.story.read("set", "1", 1)
        self.story.read("set", "-")
        self.story.end("set", "1", 1)
        self.expect("forward")

    def test_a_process_that_started_again_may_lack_what_was_not_its_own(self):
        self.story.add("set", "add", leader=1)
        self.story.read("set", "1", 1)
        self.story.read("set", "-", life=2)
        self.story.records.append(Record(0, -1, 0, 2, "set", "read", [], 0, 9.0, end=9.1, outcome="ok", mask=bits(1),
                                         value="1"))
        self.expect()

    def test_a_session_does_not_see_its_own_write(self):
        self.story.add("set", "add", session=1)
        self.story.read("set", "-", leader=1, session=1)
        self.story.end("set", "1", 1)
        self.expect("session")

    def test_a_session_sees_less_than_before(self):
        self.story.add("set", "add", leader=2)
        self.story.read("set", "1", 1, session=1, leader=2)
        self.story.read("set", "-", session=1)
        self.story.end("set", "1", 1)
        self.expect("session")

    def test_moves_of_sessions_are_counted(self):
        for leader, more in ((0, {}), (0, {}), (1, {}), (2, {"outcome": "failed", "detail": "what this session has seen"}),
                             (2, {}), (0, {"outcome": "unknown", "detail": "it is down"}), (1, {"session": 2}), (1, {})):
            self.story.add("set", "add", leader=leader, **{"session": 1, **more})
        self.story.add("set", "add", leader=2)  # in no session
        self.assertEqual(moves(self.story.records), {"arrived": 2, "behind": 1, "unanswered": 1})

    def test_a_read_of_all_misses_a_write(self):
        self.story.add("set", "add")
        self.story.read("set", "-", leader=1, concern=2, complete=True)
        self.story.end("set", "1", 1)
        self.expect("concern")

    def test_a_read_of_too_few_may_miss_a_write(self):
        self.story.add("set", "add")
        self.story.read("set", "-", leader=1, concern=1, complete=True)
        self.story.end("set", "1", 1)
        self.expect()

    def claimed(self):
        self.story.take_over()
        self.story.claim("p1", "2")
        return self.story

    def test_claims_that_are_right(self):
        s = self.claimed()
        s.claim("p1", "2", leader=1)           # taken
        s.claim("p1", "2", owner=2, leader=1)  # asked again
        s.claim("p2", "", outcome="unknown")
        s.claim("p3", "", outcome="unknown")
        s.end("claims", "p1:2:1:a,p2:5:1:a", 2, 5)
        self.expect()

    def test_two_homes_have_granted_a_key(self):
        s = self.claimed()
        s.take_over("p", leader=1)
        s.claim("p1", "4", leader=1)
        s.end("claims", "p1:4:2:b,p1:2:1:a", 2, 4)
        self.expect()
        self.assertEqual(s.history.contested, {"p1"})

    def test_one_home_has_granted_a_key_twice(self):
        s = self.claimed()
        s.take_over("p", leader=1)
        s.claim("p1", "4", leader=1)
        s.end("claims", "p1:4:1:a,p1:2:1:a", 2, 4)
        self.expect("claims")

    def test_two_owners_and_nobody_has_taken_over(self):
        s = self.claimed()
        s.take_over("q", leader=1)  # of other keys
        s.claim("p1", "2", leader=1)
        s.claim("p1", "", outcome="unknown")
        s.end("claims", "p1:5:2:a,p1:2:1:a", 2, 5)
        self.expect("claims")

    def test_a_leader_grants_what_it_is_not_the_home_of(self):
        s = self.claimed()
        s.take_over("q", leader=1)  # of other keys
        s.claim("p2", "4", leader=1)
        s.end("claims", "p1:2:1:a,p2:4:1:b", 2, 4)
        self.expect("claims")

    def test_keys_are_handed_over(self):
        s = self.claimed()
        s.add("claims", "hand-over", "p", "b", "b", dots=(), saw=False, outcome="unknown")
        s.claim("p2", "4", leader=1)
        s.end("claims", "p1:2:1:a,p2:4:2:b", 2, 4)
        self.expect()

    def test_a_granted_claim_is_lost(self):
        s = self.claimed()
        s.take_over("p", leader=1)
        s.claim("p1", "4", leader=1)
        s.end("claims", "p1:4:2:b", 4)
        self.expect("durable")

    def test_a_granted_claim_goes_with_its_homes_storage(self):
        s = self.claimed()
        s.records[-1].leader = 1
        s.losses.append(Loss(0, 0.0, 1.7))
        s.claim("p1", "3", leader=1)
        s.end("claims", "p1:3:1:a", 3)
        self.expect()

    def test_a_claim_is_lost_and_its_homes_storage_was_not(self):
        s = self.claimed()
        s.losses.append(Loss(1, 0.0, 1.7))
        s.end("claims", "-")
        self.expect("durable")

    def test_who_asks_again_is_told_another_owner(self):
        s = self.claimed()
        s.claim("p1", "3", leader=1)
        s.end("claims", "p1:2:1:a,p1:3:2:b", 2, 3)
        self.expect("claims")

    def test_an_owner_who_asked_for_another_key(self):
        s = self.claimed()
        s.claim("p2", "2")
        s.end("claims", "p1:2:1:a", 2)
        self.expect("claims")

    def test_refused_and_granted(self):
        self.claimed().claim("p2", "", outcome="failed")
        self.story.end("claims", "p1:2:1:a,p2:3:1:a", 2, 3)
        self.expect("claims")

    def test_refused_and_then_asked_again_and_granted(self):
        self.claimed().claim("p2", "", outcome="failed")
        self.story.claim("p2", "3", owner=3)
        self.story.end("claims", "p1:2:1:a,p2:3:1:a", 2, 3)
        self.expect()

    def test_rights_from_afar_are_taken_twice(self):
        self.story.add("bank", "deposit", "u", "5")
        self.story.add("bank", "draw", "u", "4", mask=bits(1), dots=())
        self.story.add("bank", "draw", "u", "4", mask=bits(1), dots=(), leader=1)
        self.story.end("bank", "u:0", 1, 2, 3)
        self.expect("bank")

    def test_a_dot_twice(self):
        self.story.add("set", "add")
        self.story.add("set", "add", mask=bits(1), dots=("replica 0", 1, 1))
        self.story.end("set", "1,2", 1, 2)
        self.expect("dots")


if __name__ == "__main__":
    unittest.main()
