"""Workflows written in Python: traced once into the same definition that a document gives."""

from engine.authoring.handles import Handle, TracingError
from engine.authoring.step_function import Step, StepCall, sleep, step
from engine.authoring.workflow_function import Workflow, workflow

__all__ = ["Handle", "Step", "StepCall", "TracingError", "Workflow", "sleep", "step", "workflow"]
