"""Who was at fault when a worker stood still, and what is told of it."""

from __future__ import annotations

from engine.core.stall import Stall, busiest, claim_name, culprits, describe_crash
from engine.core.transitions import RunKey
from engine.worker import guardian
from engine.worker.end_stalled import current_frames
from engine.worker.vital_signs import VitalSigns

KEY = RunKey("0123456789abc", 3, 7)


def test_of_threads_that_wait_for_the_lock_the_one_that_computes_is_told_apart() -> None:
    assert busiest({1: 0.98, 2: 0.012, 3: 0.0}) == [1]


def test_on_a_busy_machine_too() -> None:
    assert busiest({1: 0.21, 2: 0.004, 3: 0.003}) == [1]


def test_several_that_compute_are_all_suspects() -> None:
    assert busiest({1: 0.95, 2: 0.6, 3: 0.02}) == [1, 2]


def test_nobody_is_busy_where_all_wait() -> None:
    assert busiest({1: 0.012, 2: 0.01}) == []
    assert busiest({}) == []


def test_the_claims_of_busy_threads_are_at_fault() -> None:
    assert culprits([4, 5], [(4, "a"), (6, "b")]) == ("a",)


def test_where_no_busy_thread_works_for_a_claim_nothing_is_told() -> None:
    assert culprits([9], [(4, "a"), (6, "b")]) is None
    assert culprits([], [(4, "a")]) is None


def test_a_stall_blames_its_culprits_and_when_it_knows_none_everybody() -> None:
    told = Stall(6.0, (claim_name(KEY, 2),))
    assert told.blames(KEY, 2)
    assert not told.blames(KEY, 1)
    assert not told.blames(RunKey(KEY.execution_id, 3, 8), 2)
    assert Stall(6.0, None).blames(KEY, 1)


def test_a_stall_is_the_same_after_it_was_written_down() -> None:
    for stall in (Stall(6.0, ("a", "b"), "trace"), Stall(6.5, None)):
        assert Stall.of(stall.plain()) == stall


def test_the_error_says_who_why_and_what_to_do() -> None:
    known = describe_crash(Stall(6.0, ("a",), "  File …"), 1)
    assert known["type"] == "InterpreterLockHeld"
    assert known["message"].startswith("it kept the interpreter's lock")
    assert "for 6 s, and that was ended (once by now)" in known["message"]
    assert "isolation: process" in known["message"]
    assert known["trace"] == "  File …"
    assert "perhaps it" in describe_crash(Stall(6.0, None), 3)["message"]
    assert describe_crash(None, 3)["message"] == "its worker died 3 times while it ran"


def test_signs_tell_who_works_for_whom() -> None:
    signs = VitalSigns()
    first = signs.mark("a")(11)
    signs.mark(claim_name(RunKey("0123456789abc", 20_000, 20_000), 2**31))(12)
    assert signs.claims() == [(11, "a"), (12, "0123456789abc.20000.20000.2147483648")]
    first()
    assert [thread for thread, _ in signs.claims()] == [12]
    signs.mark("c")(13)
    assert (13, "c") in signs.claims()


def test_more_threads_than_there_are_places_do_no_harm() -> None:
    signs = VitalSigns()
    unmark = [signs.mark("a")(number) for number in range(1, 5_000)]
    assert len(signs.claims()) == 4096
    for one in unmark:
        one()
    assert signs.claims() == []


def test_a_heart_beats_and_a_guardian_looks() -> None:
    signs = VitalSigns()
    signs.beat()
    signs.beat()
    seen = VitalSigns(signs.descriptor)
    assert (seen.heart, seen.looks) == (2, 0)
    guardian._add_one(seen._memory, guardian.LOOKS)
    assert (signs.heart, signs.looks) == (2, 1)


def test_of_a_dump_the_current_threads_frames_are_told_in_the_order_of_their_calls() -> None:
    dump = """Thread 0x00007f1 (most recent call first):
  File "/x/other.py", line 1 in waits

Current thread 0x00007f2 (most recent call first):
  File "/lib/python3.11/re/__init__.py", line 166 in match
  File "/x/trial.py", line 12 in slow
  File "/site-packages/dramatiq/worker.py", line 500 in run
  File "/lib/python3.11/threading.py", line 1045 in _bootstrap_inner

Thread 0x00007f3 (most recent call first):
  File "/x/third.py", line 3 in waits
"""
    assert current_frames(dump) == (
        '  File "/x/trial.py", line 12 in slow\n'
        '  File "/lib/python3.11/re/__init__.py", line 166 in match'
    )
    assert current_frames("") == ""
