"""What a running attempt says of itself: the latest word only."""

from __future__ import annotations

from sqlalchemy import update

from engine.core.status import StepStatus
from engine.core.transitions import RunKey
from engine.store.tables import StepRun, table
from engine.store.writes.execution_tx import ExecutionTx

_RUNS = table(StepRun)


def keep(tx: ExecutionTx, key: RunKey, epoch: int, text: str) -> None:
    """Write the progress of an attempt; one whose claim was taken away is not heard."""
    tx.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item == key.item,
            _RUNS.c.epoch == epoch,
            _RUNS.c.status == StepStatus.RUNNING.value,
        )
        .values(progress=text)
    )
