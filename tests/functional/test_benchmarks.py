"""A benchmark that nobody runs is broken when it is needed: the short form, with little work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.system import ROOT


def test_the_short_measurement_says_all_it_should(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    wanted = ["--short", "--only", "sqlite", "--executions", "4", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *wanted],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == results
    assert results.keys() >= {"machine", "cores_of_machine", "python", "commit", "runs"}
    sqlite = results["databases"]["sqlite"]
    timed = {"seconds", "steps_s", "cpu_s_per_1000_steps", "cores", "runs"}
    times = {"n", "p50_ms", "p95_ms", "max_ms"}
    assert sqlite.keys() >= {"floor_commits_s"}
    assert sqlite["w10"].keys() >= timed | {"executions", "executions_s", "ratio_to_floor"}
    assert sqlite["f50"].keys() >= timed | {"fans", "width"}
    assert sqlite["latency"].keys() >= times
    assert sqlite["latency_after_rest"].keys() >= times
    assert sqlite["stored"].keys() >= {"bytes", "compact_bytes"}
    assert sqlite["pages"]["3 tabs"]["busy"].keys() >= times | {"events_s", "cpu_percent"}
    assert sqlite["pages"]["3 tabs"]["idle"].keys() >= {"web_cores"}
    assert sqlite["idle"].keys() >= {"cpu_percent_of_a_core", "memory_pss_mb"}
