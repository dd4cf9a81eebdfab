"""``uses: transform`` and ``uses: fail``: what expressions alone can do."""

from __future__ import annotations

from typing import Any

from engine.errors import StepError
from engine.steps.context import Context


class Transform:
    """Shapes data by expressions alone."""

    name = "transform"

    def run(self, params: dict[str, Any], context: Context) -> Any:
        """Return ``params["value"]``.

        Raises:
            StepError: anything else than ``value`` was given.
        """
        if params.keys() != {"value"}:
            raise StepError(
                f"step {context.step}: transform takes exactly with.value",
                reason="rejected_input",
                retryable=False,
                hint="with: {value: ...}",
            )
        return params["value"]


class Fail:
    """Fails on purpose, with the words of the document."""

    name = "fail"

    def run(self, params: dict[str, Any], context: Context) -> None:
        """Raise ``params["message"]``.

        Raises:
            StepError: always; it is not tried again.
        """
        message = params.get("message")
        raise StepError(message if isinstance(message, str) else str(message), retryable=False)
