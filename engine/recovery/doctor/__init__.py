"""Look for what must hold and does not, on a live database, and set right what can be."""

from engine.recovery.doctor.examine import Examination, Report, check_slots, patience_of
from engine.recovery.doctor.repair import Repairer

__all__ = ["Examination", "Repairer", "Report", "check_slots", "patience_of"]
