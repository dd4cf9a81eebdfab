"""Look for what must hold and does not, on a live database, and set right what can be."""

from engine.doctor.examine import Examination, Report, check_slots, patience_of
from engine.doctor.repair import Repairer

__all__ = ["Examination", "Repairer", "Report", "check_slots", "patience_of"]
