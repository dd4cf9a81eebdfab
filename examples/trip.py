"""A saga: what was booked is given back, last first, when a later booking fails."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine import at_end, context, execution, step, workflow


@step(attempts=2, backoff="500ms")
def book(what: str, refused: bool) -> str:
    """Return the booking's number; the same key for all attempts makes one booking of them."""
    if refused:
        raise ValueError(f"no {what} left")
    context.log.info("booked a %s under %s", what, context.idempotency_key)
    return f"{what}-{context.execution_id[-4:]}"


@step(attempts=5, backoff="1s")
def give_back(booking: str) -> str:
    """Return what was given back."""
    print(f"giving back {booking}")
    return booking


@step
def write_mail(outcome: str) -> str:
    """Return the mail that goes out whatever happened."""
    return f"your trip is {outcome}"


@workflow(title="Trip with compensation", timeout="1h")
def trip(
    no_car: Annotated[bool, Field(title="Have the last booking fail")] = True,
) -> dict[str, str]:
    """Book a flight, a hotel and a car. Fails by default, to show what is undone and in what
    order."""
    flight = book("flight", False, name="flight")
    give_back.compensates(flight)(flight, name="flight-back")
    hotel = book("hotel", False, name="hotel", after=flight)
    give_back.compensates(hotel)(hotel, name="hotel-back")
    car = book("car", no_car, name="car", after=hotel)
    at_end(write_mail(execution.outcome))
    return {"flight": flight, "hotel": hotel, "car": car}
