"""Workflows written in Python: traced once into the same definition that a document gives."""

from engine.authoring.built_in import approval, at_end, fail, sleep, wait_for_signal
from engine.authoring.calls import AnyStep, StepCall
from engine.authoring.elsewhere import ActorStep, ChildStep, workflow_step
from engine.authoring.handles import Handle, TracingError
from engine.authoring.known import error_of, execution, failures_of, status_of
from engine.authoring.step_function import Step, step
from engine.authoring.workflow_function import Workflow, workflow

__all__ = [
    "ActorStep",
    "AnyStep",
    "ChildStep",
    "Handle",
    "Step",
    "StepCall",
    "TracingError",
    "Workflow",
    "approval",
    "at_end",
    "error_of",
    "execution",
    "fail",
    "failures_of",
    "sleep",
    "status_of",
    "step",
    "wait_for_signal",
    "workflow",
    "workflow_step",
]
