"""Every row, in the order of the table."""

from tests.scorecard import registry
from tests.scorecard.rows import (
    broker,
    clock,
    database,
    isolated,
    people,
    shape,
    streams,
    user_code,
    worker,
)
from tests.scorecard.table import TABLE

_PLACES = [(group, fault) for group, faults in TABLE.items() for fault in faults]
ROWS = dict(
    sorted(registry.ROWS.items(), key=lambda item: _PLACES.index((item[1].group, item[1].fault)))
)

__all__ = [
    "ROWS",
    "broker",
    "clock",
    "database",
    "isolated",
    "people",
    "shape",
    "streams",
    "user_code",
    "worker",
]
