"""Recovery: what is due and has nobody to do it. Rescue sweeps for it; the doctor examines all."""

from engine.recovery.due_steps import LATE_RETRY
from engine.recovery.lost_claims import ALONE_AGAIN, HEAD_START
from engine.recovery.rescue import SWEEPS, Rescue

__all__ = ["ALONE_AGAIN", "HEAD_START", "LATE_RETRY", "SWEEPS", "Rescue"]
