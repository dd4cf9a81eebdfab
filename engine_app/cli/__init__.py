"""``engine``: everything from a terminal, as an operator of this machine.

Exit codes: 0 done, 1 the execution did not complete, 2 what was asked cannot be done, 3 the
database or Redis cannot be reached.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import redis
import typer

from engine.errors import EngineError, Unavailable
from engine_app.asking import told
from engine_app.cli import (
    approvals,
    check,
    doctor,
    executions,
    people,
    prune,
    schedules,
    serve,
    steer,
    stranded,
    workflows,
)
from engine_app.cli.output import clean, errors, print_error

__all__ = ["app", "main", "refused"]

USAGE = 2
UNREACHABLE = 3

app = typer.Typer(
    name="engine",
    help="Durable workflows on Dramatiq.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "up": serve.up,
    "web": serve.web,
    "worker": serve.worker,
    "scheduler": serve.scheduler,
    "rescue": serve.rescue,
    "run": executions.run,
    "list": executions.list_,
    "show": executions.show,
    "logs": executions.logs,
    "cancel": steer.cancel,
    "pause": steer.pause,
    "resume": steer.resume,
    "retry": steer.retry,
    "rerun": steer.rerun,
    "signal": approvals.signal,
    "approvals": approvals.approvals,
    "approve": approvals.approve,
    "reject": approvals.reject,
    "check": check.check,
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(workflows.app, name="workflows")
app.add_typer(schedules.app, name="schedules")
app.add_typer(stranded.app, name="stranded")
app.add_typer(people.user, name="user")
app.add_typer(people.token, name="token")
serve.db.command()(prune.prune)
app.add_typer(serve.db, name="db")


def main() -> None:
    """Run the command line and exit with its code. No error shows a traceback."""
    # Warnings of libraries belong to stderr, as lines: stdout is for what was asked.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app(prog_name="engine")
    except Exception as error:  # the last line of defence before a terminal
        sys.exit(refused(error))


def refused(error: Exception) -> int:
    """Return the exit code for an error that ends a command, and print it as one line."""
    if isinstance(error, EngineError):
        print_error(error)
        return UNREACHABLE if isinstance(error, Unavailable) else USAGE
    if isinstance(error, redis.RedisError):
        errors.print(f"[red]error:[/] Redis {clean(told(error))}")
        return UNREACHABLE
    first = str(error).strip().partition("\n")[0]
    errors.print(f"[red]error:[/] a fault of the engine: {type(error).__name__}: {clean(first)}")
    return USAGE
