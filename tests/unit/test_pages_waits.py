"""Waits, ends in stages and relatives, as pages draw them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.commands.rerun import Preview
from engine.definition import Definition, parse
from engine.errors import Fault
from engine.store.reads import ApprovalRow, DeadLetterRow, LinkRow, WaitRow
from engine.store.reads.pending_actions import AskRow, DecisionRow, LackRow, Standing
from engine_app.states import shapes_asks, shapes_notices
from engine_app.states import view_models_waits as shapes
from engine_app.states.monitoring import Filters
from engine_app.states.view_models import Bar
from tests.support.readings import T, detail_of, step_row

FORM = {
    "type": "object",
    "properties": {"channel": {"enum": ["stable", "beta"]}, "count": {"type": "integer"}},
    "required": ["count"],
}
GRACES = shapes.Graces(10, 5)


def _wait(kind: str = "approval", *, step: str = "review", **params: Any) -> AskRow:
    return AskRow("1agt1yynhwbzb", "release", step, None, kind, T, T + 1, params)


def _ask(kind: str = "approval", **params: Any) -> shapes_asks.Ask:
    [ask] = shapes_asks.asks([_wait(kind, **params)], "ada")
    return ask


def _standing(**changed: Any) -> Standing:
    values: dict[str, Any] = {
        "status": "running",
        "ending": None,
        "phase": "steps",
        "interrupting": False,
        "due_at": None,
        "deadline_at": None,
        "rerun_from": None,
    }
    return Standing(**values | changed)


def _saga() -> Definition:
    plain: dict[str, Any] = {"uses": "transform", "with": {"value": 1}}
    return parse(
        {
            "name": "saga",
            "steps": {
                "flight": plain | {"compensate": "no-flight"},
                "no-flight": plain,
                "hotel": plain | {"compensate": "no-hotel", "needs": ["flight"]},
                "no-hotel": plain,
                "mail": plain,
            },
            "finally": ["mail"],
        }
    )


def _plain() -> Definition:
    return parse({"name": "one", "steps": {"one": {"uses": "transform", "with": {"value": 1}}}})


def test_an_approval_brings_its_form_and_says_who_decides() -> None:
    ask = _ask(title="Ship it?", description="Ready.", form=FORM, approvers=["ada", "grace"])
    assert (ask.title, ask.about, ask.who) == ("Ship it?", "Ready.", "ada, grace")
    assert [field.name for field in ask.fields] == ["channel", "count"]
    assert ask.held == ""


def test_who_is_not_among_the_approvers_is_told_so() -> None:
    assert "not among those" in _ask(approvers=["grace"]).held


def test_an_approval_without_a_form_asks_for_nothing() -> None:
    ask = _ask(title="Go?")
    assert (ask.fields, ask.as_json) == ([], False)


def test_a_signal_without_a_schema_is_typed_as_json() -> None:
    ask = _ask("signal", name="paid", correlation="A-1")
    assert (ask.as_json, ask.name, ask.correlation) == (True, "paid", "A-1")


def test_a_wait_for_a_child_is_answered_by_nobody_here() -> None:
    assert shapes_asks.asks([_wait("workflow")], "ada") == []


def test_approvals_stand_before_signals() -> None:
    asks = shapes_asks.asks([_wait("signal", name="go"), _wait(step="ok")], "ada")
    assert [ask.kind for ask in asks] == ["approval", "signal"]


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays() -> None:
    ask = _ask(form=FORM)
    fault = Fault("values.count", "this is too small")
    again = shapes_asks.refused(ask, {"f0": "1", "f1": "-1"}, [fault], "")
    assert [field.value for field in again.fields] == ["1", "-1"]
    assert [field.wrong for field in again.fields] == ["", "this is too small"]


def test_a_body_in_json_keeps_what_was_typed() -> None:
    again = shapes_asks.refused(_ask("signal"), {"json": "{"}, [Fault("", "this is not JSON")], "")
    assert (again.text, again.wrong) == ("{", ["this is not JSON"])


def test_a_refusal_without_faults_is_said_in_its_own_words() -> None:
    assert shapes_asks.refused(_ask(), {}, [], "it was decided").wrong == ["it was decided"]


@pytest.mark.parametrize(
    ("status", "reason", "word"),
    [
        ("completed", None, "approved"),
        ("failed", "rejected", "rejected"),
        ("failed", "expired", "not decided in time"),
    ],
)
def test_a_decision_is_told_in_a_word(status: str, reason: str | None, word: str) -> None:
    row = DecisionRow("review", 2, status, reason, "ada", T, "fine", {})
    assert shapes.decided([row]) == [shapes.Decided("review [2]", status, word, "ada", T, "fine")]


def test_an_approval_that_ended_with_its_execution_was_not_decided() -> None:
    row = DecisionRow("review", None, "cancelled", "cancelled_by_user", "", T, "", {})
    assert shapes.decided([row]) == []


@pytest.mark.parametrize(
    ("standing", "name", "can"),
    [
        ({}, "", "cancel pause"),
        ({"status": "paused"}, "paused", "cancel resume"),
        ({"ending": "cancelled", "due_at": T}, "asked", ""),
        ({"ending": "failed", "interrupting": True, "due_at": T}, "interrupting", ""),
        ({"ending": "failed", "phase": "closing"}, "closing", "cancel pause"),
        ({"ending": "failed", "phase": "abandoned", "due_at": T}, "abandoned", ""),
        ({"status": "failed", "ending": "failed", "phase": "closing"}, "", ""),
    ],
)
def test_each_stage_offers_only_what_is_possible_in_it(
    standing: dict[str, Any], name: str, can: str
) -> None:
    stage = shapes.stage(_standing(**standing), _saga(), GRACES)
    offered = [word for word in ("cancel", "pause", "resume") if getattr(stage, f"can_{word}")]
    assert (stage.name, " ".join(offered)) == (name, can)


def test_until_when_a_stage_lasts_is_told_only_while_it_does() -> None:
    stopping = shapes.stage(_standing(ending="cancelled", due_at=T), _plain(), GRACES)
    owed = shapes.stage(_standing(due_at=T), _plain(), GRACES)
    assert (stopping.until, owed.until) == (T, 0)


def test_cancel_tells_its_stages_with_their_seconds() -> None:
    words = shapes.stage(_standing(), _saga(), GRACES).cancel
    assert "get 10 s" in words
    assert "5 s later" in words
    assert "compensations of what completed" in words
    assert "compensations" not in shapes.stage(_standing(), _plain(), GRACES).cancel


def test_cancelled_once_more_a_closing_execution_abandons_its_steps() -> None:
    stage = shapes.stage(_standing(ending="failed", phase="closing"), _saga(), GRACES)
    assert "never run" in stage.cancel


def test_closing_steps_stand_last_in_the_order_in_which_they_run() -> None:
    definition = _saga()
    bars = [Bar(name=step.name, status="pending") for step in definition.steps]
    found = shapes.arranged(bars, definition, {})
    assert [bar.name for bar in found] == ["flight", "hotel", "no-hotel", "no-flight", "mail"]
    assert [bar.label for bar in found] == ["", "", "undoes hotel", "undoes flight", ""]
    assert [bool(bar.group) for bar in found] == [False, False, True, False, True]


@pytest.mark.parametrize(
    ("wait", "note"),
    [
        (WaitRow("signal", None, signal="paid"), "for signal paid"),
        (WaitRow("approval", None), "for a decision"),
        (WaitRow("workflow", None), "for its child"),
        (WaitRow("time", T), ""),
        (None, ""),
    ],
)
def test_a_waiting_step_says_for_what(wait: WaitRow | None, note: str) -> None:
    notes = shapes.waiting_notes([step_row(name="one", waits_for=wait)])
    [waiting] = shapes.arranged([Bar(name="one", status="waiting")], _plain(), notes)
    [over] = shapes.arranged([Bar(name="one", status="completed")], _plain(), notes)
    assert (waiting.note, over.note) == (note, "")


def test_of_many_children_the_newest_are_shown_and_counted() -> None:
    child = LinkRow("1agt1yynhwbzb", "parcel", 1, "failed", "pack", 3, T, None)
    family = shapes.family(replace(detail_of(), children=[child], children_total=1_202))
    assert family.children == [shapes.Kin("1agt1yynhwbzb", "parcel", "failed", "pack [3]")]
    assert family.summary == "the newest 1 of 1,202: 1 failed"


def test_an_approval_of_someone_elses_execution_names_its_owner() -> None:
    row = ApprovalRow(
        "1agt1yynhwbzb", "ok", 2, "release", 1, "eve", False, "", "", FORM, ["ada"], T, None
    )
    [ask] = shapes_asks.approvals([row])
    assert (ask.owner, ask.title, ask.who, ask.item) == ("eve", "ok", "ada", 2)
    assert [field.name for field in ask.fields] == ["channel", "count"]
    assert shapes_asks.approvals([replace(row, mine=True)])[0].owner == ""


def test_an_approval_with_a_large_form_is_closed_until_it_is_opened() -> None:
    row = ApprovalRow(
        "1agt1yynhwbzb", "ok", 2, "release", 1, "eve", True, "", "", {}, ["ada"], T, None, 300_000
    )
    [ask] = shapes_asks.approvals([row])
    assert (ask.closed, ask.held) == ("What it asks for is large (300,000 bytes).", "")
    opened = shapes_asks.approval(replace(row, form=FORM))
    assert (opened.closed, opened.key) == ("", ask.key)
    assert [field.name for field in opened.fields] == ["channel", "count"]
    [ask] = shapes_asks.approvals([replace(row, left_out=5_000_000)])
    assert ask.held.endswith("Read it by: engine approvals 1agt1yynhwbzb ok --item 2")


def test_the_owner_of_an_execution_opens_a_large_form_only_if_they_may_decide() -> None:
    row = replace(_wait(title="Ship?", approvers=["ada"]), left_out=300_000)
    assert [ask.closed for ask in shapes_asks.asks([row], "ada")] != [""]
    [ask] = shapes_asks.asks([row], "eve")
    assert (ask.closed, ask.held) == ("", "You are not among those who decide this.")


def test_a_preview_names_forty_and_counts_the_rest() -> None:
    names = [f"s{number}" for number in range(50)]
    outlook = shapes.outlook(Preview(2, [], names, ["last"]))
    assert (outlook.version, outlook.repeated.count) == (2, 50)
    assert outlook.repeated.names.endswith("s39 and 10 more")
    assert outlook.fresh == shapes.Fate(1, "last")


def test_missing_code_names_workflow_version_and_function() -> None:
    lack = shapes_notices.lack(LackRow("orders", 3, "charge", "shop.charge", 2))
    assert lack.words == "orders version 3, step charge: shop.charge"
    assert lack.waiting == "2 executions wait"
    assert lack.href == "/monitoring?workflow=orders&lacks=code"


def test_the_address_keeps_the_filter_on_missing_code_while_paging() -> None:
    first = Filters(workflow="orders", lacks="code")
    older = replace(first, cursor="1agt1yynhwbzb")
    assert first.path() == "/monitoring?workflow=orders&lacks=code"
    assert "lacks=code" in older.path()


@pytest.mark.parametrize(
    ("reason", "words"), [("worker_crashed", "new execution"), ("dispatch_failed", "planned again")]
)
def test_a_dead_letter_says_what_replaying_it_does(reason: str, words: str) -> None:
    error = {"message": "killed\nby a signal"}
    row = DeadLetterRow("l", "1agt1yynhwbzb", "steps", "run_step", reason, error, T, None)
    letter = shapes_notices.letter(row)
    assert words in letter.again
    assert letter.message == "killed by a signal"
