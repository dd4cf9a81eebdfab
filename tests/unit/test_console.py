"""Lines that workers print: readable, or JSON; never two lines for one."""

from __future__ import annotations

import json
import logging
from typing import Any

from actors.console import JsonFormatter, TextFormatter


def record(**fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("engine.lifecycle", logging.INFO, "", 0, "step_failed", (), None)
    made.fields = fields
    return made


def test_a_fact_is_one_readable_line_with_its_names() -> None:
    line = TextFormatter().format(record(event="step_failed", workflow="orders", step="clean"))
    assert line.endswith("info    step_failed workflow=orders step=clean")


def test_a_line_break_in_an_error_makes_no_second_line() -> None:
    line = TextFormatter().format(record(error="ValueError: a\nstep_completed workflow=forged"))
    assert "\n" not in line


def test_the_same_fact_is_one_json_object_when_asked() -> None:
    line = json.loads(JsonFormatter().format(record(event="step_failed", error="a\nb")))
    assert (line["message"], line["level"], line["error"]) == ("step_failed", "info", "a\nb")
