"""``uses: transform``: the output is ``value``, its expressions resolved."""

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
