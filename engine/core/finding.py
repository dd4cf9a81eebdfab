"""What may be found wrong with a history: each rule with what it means and what may be done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """What must hold, by the name of its breach."""

    EVENTS_MISSING = "events_missing"
    LINES_MISSING = "lines_missing"
    NUMBER_BEHIND = "number_behind"
    ILLEGAL_MOVE = "illegal_move"
    STATUS_UNTOLD = "status_untold"
    AFTER_THE_END = "after_the_end"
    NO_END_TIME = "no_end_time"
    OPEN_AFTER_END = "open_after_end"
    EARLY_START = "early_start"
    START_AFTER_CANCEL = "start_after_cancel"
    EPOCHS = "epochs"
    OVER_LIMIT = "over_limit"
    COUNTERS = "counters"
    SLOT_TWICE = "slot_twice"
    UNREADABLE = "unreadable"
    DISPATCH_OWED = "dispatch_owed"
    MESSAGE_OWED = "message_owed"
    LOST_CLAIM = "lost_claim"
    OVERDUE_CLAIM = "overdue_claim"
    OVERDUE_WAIT = "overdue_wait"
    UNFINISHED = "unfinished"
    UNENDED = "unended"
    MISSED_DEADLINE = "missed_deadline"
    STUCK = "stuck"
    NOTICE_LEFT = "notice_left"
    ORPHAN_NOTICE = "orphan_notice"
    UNANSWERED = "unanswered"
    ORPHANED_CHILD = "orphaned_child"
    LEFT_ALONE = "left_alone"
    NOBODY_SWEEPS = "nobody_sweeps"
    NO_WORKER = "no_worker"


class Repair(StrEnum):
    """What the engine can do about a breach by itself, without a risk."""

    RECOUNT = "recount"
    CLOSE = "close"
    DISPATCH = "dispatch"
    SEND = "send"
    GIVE_BACK = "give_back"
    WAKE = "wake"
    END = "end"
    ANSWER = "answer"
    CANCEL = "cancel"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken somewhere.

    ``mark`` changes whenever what was found moves on: only what two looks find with the same mark
    stands still.
    """

    rule: Rule
    what: str
    execution_id: str | None = None
    step: int | None = None
    item: int | None = None
    mark: str = ""

    @property
    def place(self) -> tuple[Rule, str | None, int | None, int | None, str]:
        """What two looks must agree on."""
        return self.rule, self.execution_id, self.step, self.item, self.mark


@dataclass(frozen=True, slots=True)
class About:
    """What a breach means: the number of its invariant, why it matters, what may be done.

    ``then`` says what the repair does or, without one, what a person can do.
    """

    invariant: int
    why: str
    repair: Repair | None
    then: str


_LOOK = "read its events before you trust it; run it again if its result matters"
_AGAIN = "cancel it and run it again: what completed is reused"
RULES: dict[Rule, About] = {
    Rule.EVENTS_MISSING: About(
        7, "whoever follows it misses what happened", None, "restore a backup if it matters"
    ),
    Rule.LINES_MISSING: About(
        7, "what its steps wrote is not all there", None, "restore a backup if it matters"
    ),
    Rule.NUMBER_BEHIND: About(
        7,
        "nothing can be written to it any more: the next number is taken",
        Repair.RECOUNT,
        "sets the number to the last one that is there",
    ),
    Rule.ILLEGAL_MOVE: About(2, "a step did what it may not do from where it stood", None, _LOOK),
    Rule.STATUS_UNTOLD: About(7, "its events and its status say different things", None, _LOOK),
    Rule.AFTER_THE_END: About(1, "an end was not the end", None, _LOOK),
    Rule.NO_END_TIME: About(1, "lists and figures leave it out", None, "nothing: it is harmless"),
    Rule.OPEN_AFTER_END: About(
        1,
        "rescue goes on looking after steps that nobody will run",
        Repair.CLOSE,
        "ends the steps that are left",
    ),
    Rule.EARLY_START: About(11, "a step ran without what it needs", None, _LOOK),
    Rule.START_AFTER_CANCEL: About(13, "a step ran although it was cancelled", None, _LOOK),
    Rule.EPOCHS: About(3, "a late result may have been taken", None, _LOOK),
    Rule.OVER_LIMIT: About(9, "a step ran more often than it may", None, _LOOK),
    Rule.COUNTERS: About(
        12,
        "it may never end, or end too early",
        Repair.RECOUNT,
        "counts its rows again and queues what is ready by that",
    ),
    Rule.SLOT_TWICE: About(
        6, "a schedule ran twice for one time", None, "cancel one of the two executions"
    ),
    Rule.UNREADABLE: About(
        10,
        "no worker can go on with it",
        None,
        "install the release that published the version, or restore it from a backup",
    ),
    Rule.DISPATCH_OWED: About(
        8, "it waits for a message that does not come", Repair.DISPATCH, "sends its dispatch again"
    ),
    Rule.MESSAGE_OWED: About(
        8, "the step waits for a message that does not come", Repair.SEND, "sends it again"
    ),
    Rule.LOST_CLAIM: About(
        8,
        "its worker is gone, and nobody has taken the claim back",
        Repair.GIVE_BACK,
        "takes the claim back as rescue does: it counts as a crash",
    ),
    Rule.OVERDUE_CLAIM: About(
        8,
        "it has outlived its timeout",
        Repair.GIVE_BACK,
        "takes the claim back as rescue does: it counts as a crash",
    ),
    Rule.OVERDUE_WAIT: About(8, "its time has come and nobody woke it", Repair.WAKE, "wakes it"),
    Rule.UNFINISHED: About(
        1, "all its steps ended, and it did not", Repair.DISPATCH, "finishes it"
    ),
    Rule.UNENDED: About(
        1, "it was told to end, and did not", Repair.END, "ends it, whatever still runs"
    ),
    Rule.MISSED_DEADLINE: About(
        8, "it has outlived its deadline", None, "run `engine rescue`, or cancel it"
    ),
    Rule.STUCK: About(8, "nothing will ever move it", None, _AGAIN),
    Rule.NOTICE_LEFT: About(
        8, "another execution's news has not reached it", Repair.DISPATCH, "delivers it"
    ),
    Rule.ORPHAN_NOTICE: About(8, "it is for an execution that is no more", Repair.DROP, "drops it"),
    Rule.UNANSWERED: About(
        8,
        "it waits for an execution that has ended",
        Repair.ANSWER,
        "writes the answer again and delivers it",
    ),
    Rule.ORPHANED_CHILD: About(
        8,
        "the execution that started it has ended, and it was to end with that",
        Repair.CANCEL,
        "cancels it, as the end of its parent does",
    ),
    Rule.LEFT_ALONE: About(
        8,
        "rescue cannot look after it: what it loses stays lost, and its times pass unheeded",
        None,
        "the log of the worker that sweeps says more; cancel it and run it again",
    ),
    Rule.NOBODY_SWEEPS: About(
        8, "nobody looks after lost messages and dead workers", None, "start a worker"
    ),
    Rule.NO_WORKER: About(8, "nothing moves", None, "start one: `engine up` or `engine worker`"),
}
