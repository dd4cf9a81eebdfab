"""Run rows: each run in a fleet and a database of its own, from one seed."""

from __future__ import annotations

import random
import tempfile
import time
import traceback
import zlib
from collections.abc import Mapping
from pathlib import Path

from tests.scorecard import inside
from tests.scorecard.bench import Bench
from tests.scorecard.drill import BEAT, LEASE, PATIENT_CRASHES, SLACK, SWEEP, Drill, Weak
from tests.scorecard.registry import Row
from tests.scorecard.verdict import Verdict, judge
from tests.scorecard.workload import MODULE
from tests.support.fleet import Fleet

DEFAULT_CRASHES = 3


def run(
    row: Row,
    bench: Bench,
    seed: int,
    *,
    scale: float = 1.0,
    slack: float = SLACK,
    sabotage: str = "",
) -> Verdict:
    """Run a row once and return what it came to.

    Args:
        row: one that applies to the bench's database.
        bench: where the database comes from.
        seed: decides the workload and the moments of the faults.
        scale: heartbeats, leases and sweeps are the defaults times this.
        slack: seconds beyond lease + 2 sweeps until what has not ended is lost.
        sabotage: a promise to switch off in the workers, see ``inside.CONTROLS``.
    """
    assert row.drill is not None, f"{row.name} cannot be run"
    verdict, begun = Verdict(seed), time.monotonic()
    crashes = row.max_crashes or (DEFAULT_CRASHES if scale == 1 else PATIENT_CRASHES)
    # The seed of a run is its row's own: one row's draws must not move another's.
    chance = random.Random(seed ^ zlib.crc32(row.name.encode()))
    with (
        bench.database() as url,
        tempfile.TemporaryDirectory(prefix="engine-drill-", ignore_cleanup_errors=True) as folder,
    ):
        variables = {**_environment(scale, crashes), **row.variables, inside.SABOTAGE: sabotage}
        settings = {name: value.format(folder=folder) for name, value in row.redis.items()}
        fleet = Fleet(url, Path(folder), settings, **variables)
        drill = Drill(bench, fleet, chance, scale, slack)
        try:
            _carry_out(row, drill, verdict)
            judge(drill, verdict, least=row.least, max_crashes=crashes)
        except Exception as error:
            # A run that cannot be judged is a failed one; the hours of the others must not be lost.
            verdict.weak = f"the drill itself failed: {error!r}"
            verdict.notes += traceback.format_exc().splitlines()
        finally:
            if verdict.red:
                verdict.logs = _last_words(fleet)
            drill.close()
            fleet.close()
    verdict.seconds = round(time.monotonic() - begun, 1)
    return verdict


def _carry_out(row: Row, drill: Drill, verdict: Verdict) -> None:
    assert row.drill is not None
    try:
        row.drill(drill)
    except Weak as error:
        verdict.weak = str(error)
    except AssertionError as error:
        # Something that had to happen first did not: the fault was not shown.
        verdict.weak = str(error)[:2000]
    if verdict.weak:
        drill.settle()


def _environment(scale: float, crashes: int) -> Mapping[str, str]:
    """Return the workers' environment; at scale 1 every setting is the default."""
    found = {"ENGINE_MODULES": MODULE}
    if scale != 1:
        found |= {
            "ENGINE_HEARTBEAT_SECONDS": f"{BEAT * scale:g}",
            "ENGINE_LEASE_SECONDS": f"{LEASE * scale:g}",
            "ENGINE_SWEEP_SECONDS": f"{SWEEP * scale:g}",
        }
    if crashes != DEFAULT_CRASHES:
        found["ENGINE_MAX_CRASHES"] = str(crashes)
    return found


def _last_words(fleet: Fleet) -> list[str]:
    """Return the ends of the workers' logs: what a reader of a red run asks for first."""
    return [f"{w.log.name}: {w.log.read_text(errors='replace')[-1200:]}" for w in fleet.workers]
