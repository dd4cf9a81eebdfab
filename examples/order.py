"""An order that waits for its payment, and is packed by another workflow, item by item."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from engine import failures_of, step, wait_for_signal, workflow


class Payment(BaseModel):
    """What the payment provider sends."""

    amount: float


@step
def pack(item: str) -> str:
    """Return the packed item; one that is out of stock fails."""
    if "?" in item:
        raise LookupError(f"{item} is out of stock")
    return f"{item} ✓"


@step
def label(packed: list[str | None], missing: int) -> dict[str, object]:
    """Return the parcel."""
    return {"packed": [item for item in packed if item], "missing": missing}


@workflow(title="Parcel")
def parcel(
    items: Annotated[list[str], Field(title="Items")] = ["tea"],  # noqa: B006
) -> dict[str, object]:
    """Pack each item. Up to half of them may fail: the parcel goes without them."""
    packed = pack.map(items, allow_failures="50%")
    labelled: dict[str, object] = label(packed, failures_of(packed).size())
    return labelled


@workflow(title="Order that waits for a payment")
def order(
    number: Annotated[str, Field(title="Order number")] = "A-1001",
    items: Annotated[list[str], Field(title="Items")] = ["tea", "cups", "biscuits?"],  # noqa: B006
) -> dict[str, object]:
    """Wait for the signal `paid` with the order's number, then have its parcel packed.

    Send it by `engine signal paid --correlation A-1001 --body '{"amount": 12.5}'`.
    """
    paid = wait_for_signal("paid", correlation=number, schema=Payment, deadline="2d")
    packed = parcel.as_step(items=items, after=paid)
    return {"order": number, "paid": paid.amount, "parcel": packed}
