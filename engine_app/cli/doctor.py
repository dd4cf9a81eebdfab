"""``engine doctor``: what must hold and does not, and what can be done about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.commands import missing_code
from engine.commands.missing_code import Stranded
from engine.core.finding import RULES, Finding
from engine.flow.definition_cache import Versions
from engine.recovery.doctor import Examination, Report, patience_of
from engine.store.db.database import Database
from engine_app.cli.local import Json, database, engine, settings
from engine_app.cli.output import clean, console, errors, print_json

if TYPE_CHECKING:
    from engine.recovery.doctor.repair import Repaired

_MOST_HOURS = 24 * 36_525
FAULTY = 1  # the exit code when something is wrong and was not repaired
SHOWN = 50  # findings shown in full


def doctor(
    *,
    hours: Annotated[
        float, typer.Option(min=0, help="Look at what ended in the last so many hours, too.")
    ] = 24,
    everything: Annotated[bool, typer.Option("--all", help="Look at all there is.")] = False,
    repairing: Annotated[
        bool, typer.Option("--repair", help="Carry out the safe repairs, once asked.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Repair without being asked.")] = False,
    as_json: Json = False,
) -> None:
    """Check what must hold for every execution, on the live database, and repair what can be."""
    if yes and not repairing:
        raise typer.BadParameter("--yes means nothing without --repair")
    if as_json and repairing and not yes:
        raise typer.BadParameter("--json asks nothing: add --yes to --repair")
    if not 0 <= hours <= _MOST_HOURS:  # click lets through what is no number
        raise typer.BadParameter(f"--hours is at most {_MOST_HOURS:,}: --all looks at all there is")
    with database() as opened:
        examination = Examination(opened, settings(), _sleep)
        waiting = _stranded(opened)
        report = examination.run(hours=None if everything else hours)
    if not as_json:
        _tell(report)
        _tell_stranded(waiting)
    repairs: list[Repaired] = []
    if repairing and report.findings:
        repairs = _repair(report.findings, asking=not yes)
    if as_json:
        print_json({**_plain(report, repairs), "stranded": waiting})
    else:
        _tell_repairs(repairs)
    done = {one.finding for one in repairs if one.done}
    if set(report.findings) - done or report.more:
        raise typer.Exit(FAULTY)


def _stranded(opened: Database) -> list[Stranded]:
    """Return what waits for code: that is no fault, but maybe nobody's wish either."""
    known = missing_code.known_by_workers(opened, settings().lease_seconds)
    return [] if known is None else missing_code.find(opened, Versions(opened), known=known)


def _tell_stranded(waiting: Sequence[Stranded]) -> None:
    for one in waiting:
        missing = ", ".join(f"{clean(step.step)} ({clean(step.code)})" for step in one.missing)
        console.print(
            f"[yellow]![/] {one.executions} executions of {clean(one.workflow)} v{one.version}"
            f" wait for code that no live worker has: {missing}; see `engine stranded`"
        )


def _sleep(seconds: float) -> None:
    if seconds >= 2:
        errors.print(f"[bright_black]looking again in {seconds:g} s: what moves is no fault[/]")
    time.sleep(seconds)


def _tell(report: Report) -> None:
    looked = f"{report.executions} execution{'' if report.executions == 1 else 's'} looked at"
    if not report.findings:
        console.print(f"[green]✓[/] {looked}, nothing wrong")
    for finding in report.findings[:SHOWN]:
        about = RULES[finding.rule]
        console.print(f"[red]✗[/] {_where(finding)}{clean(finding.what)} \\[{finding.rule}]")
        console.print(f"    why it matters: {about.why}")
        word = "repair" if about.repair else "no safe repair; you can"
        console.print(f"    {word}: {about.then}")
    rest = len(report.findings) - SHOWN
    if rest > 0:
        console.print(f"… and {rest} more: --json tells them all")
    if report.findings:
        safe = sum(RULES[finding.rule].repair is not None for finding in report.findings)
        console.print(f"{looked}, {len(report.findings)} faults, {safe} with a safe repair")
    if report.more:
        console.print(f"{report.more} more were seen once; repair these and look again")


def _where(finding: Finding) -> str:
    if finding.execution_id is None:
        return ""
    where = f"execution {clean(finding.execution_id)}"
    if finding.step is not None:
        where += f", step {finding.step}"
        where += "" if finding.item is None or finding.item < 0 else f"\\[{finding.item}]"
    return f"{where}: "


def _repair(findings: Sequence[Finding], *, asking: bool) -> list[Repaired]:
    safe = [finding for finding in findings if RULES[finding.rule].repair is not None]
    if not safe:
        return []
    if asking and not typer.confirm(f"Carry out {len(safe)} repairs?"):
        return []
    # Importing actors makes this process's broker, which needs Redis: to look does without.
    from actors import messages  # noqa: PLC0415
    from actors.notifications import Looks  # noqa: PLC0415
    from engine.recovery import Rescue  # noqa: PLC0415
    from engine.recovery.doctor import Repairer  # noqa: PLC0415

    with engine() as client:
        looks = Looks(client.redis)
        rescue = Rescue(client.settings, client.database, client.versions, client.broker, looks.add)
        examination = Examination(client.database, client.settings, time.sleep)
        repairer = Repairer(examination, client.versions, rescue)
        done = [repairer.repair(finding) for finding in safe]
        messages.send(client.broker, repairer.sends)
    return done


def _tell_repairs(repairs: Sequence[Repaired]) -> None:
    for one in repairs:
        rule = one.finding.rule
        if one.done:
            console.print(f"[green]✓[/] {_where(one.finding)}repaired \\[{rule}]")
        else:
            console.print(f"[yellow]![/] {_where(one.finding)}{clean(one.why)} \\[{rule}]")


def _plain(report: Report, repairs: Sequence[Repaired]) -> dict[str, Any]:
    came = {one.finding: one for one in repairs}
    items = []
    for finding in report.findings:
        about, one = RULES[finding.rule], came.get(finding)
        items.append(
            {
                "rule": finding.rule.value,
                "invariant": about.invariant,
                "execution_id": finding.execution_id,
                "step": finding.step,
                "item": finding.item if finding.item is not None and finding.item >= 0 else None,
                "what": finding.what,
                "why": about.why,
                "repair": about.repair.value if about.repair else None,
                "then": about.then,
                "repaired": None if one is None else one.done,
            }
        )
    return {
        "executions": report.executions,
        "items": items,
        "more": report.more,
        "patience_seconds": patience_of(settings()),
    }
