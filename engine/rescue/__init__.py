"""Find what is owed and has nobody to carry it out; harmless when it is wrong."""

from engine.rescue.claims import ALONE_AGAIN, HEAD_START
from engine.rescue.parked import LATE_RETRY
from engine.rescue.sweep import SWEEPS, Rescue

__all__ = ["ALONE_AGAIN", "HEAD_START", "LATE_RETRY", "SWEEPS", "Rescue"]
