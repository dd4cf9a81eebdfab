"""A supervisor over toy programs, to be killed.

``python -m tests.support.toy HOME DRAIN HOW PROGRAM…``: DRAIN is in seconds, HOW is ``copied`` or
``afresh``, each PROGRAM is Python source. It prints what ``engine up`` prints, and stops the same
way.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine_app.supervisor.console import Lines
from engine_app.supervisor.loop import Signals, Supervisor
from engine_app.supervisor.pidfile import Record, only_one
from engine_app.supervisor.programs import Program


def main(folder: str, seconds: str, how: str, *sources: str) -> None:
    home, drain, lines = Path(folder), float(seconds), Lines()
    with only_one(home):
        record, signals = Record(home), Signals()
        lines.say(f"ended {record.end_leftovers(drain)} left")
        supervisor = Supervisor(
            {**os.environ, "ENGINE_HOME": str(home.absolute())},
            lines=lines,
            signals=signals,
            record=record,
            died=lambda pids: lines.say(f"buried {sorted(pids)}"),
            copies=how == "copied",
        )
        for number, source in enumerate(sources):
            file = home / f"toy-{number}.py"
            file.write_text(source)
            command = (sys.executable, str(file))
            supervisor.add(Program(f"toy {number}", command, works=True))
        while not signals.requests:
            supervisor.turn()
        supervisor.stop(drain)
        lines.say("stopped")


if __name__ == "__main__":
    main(*sys.argv[1:])
