"""A workflow that waits for a person: build, ask, ship; a refusal is told and fails it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from engine import approval, error_of, step, workflow


class Choice(BaseModel):
    """What the person fills in."""

    channel: Annotated[Literal["stable", "beta"], Field(title="Channel")] = "stable"
    notes: Annotated[str, Field(title="Notes for the users", max_length=500)] = ""


@step
def build(version: str) -> dict[str, str]:
    """Return what would be shipped."""
    print(f"building {version}")
    return {"version": version, "file": f"app-{version}.tar.gz"}


@step
def ship(built: dict[str, str], channel: str, approved_by: str) -> str:
    """Return a sentence about what was shipped."""
    return f"{built['file']} is in {channel}: {approved_by} said so"


@step
def tell_team(why: str) -> str:
    """Return what the team was told."""
    print(f"not shipped: {why}")
    return f"not shipped: {why}"


@workflow(title="Release with approval")
def release(
    version: Annotated[str, Field(title="Version", pattern=r"^\d+\.\d+\.\d+$")] = "1.2.3",
) -> str | None:
    """Build, wait up to three days for a person's yes, then ship."""
    built = build(version)
    yes = approval(
        f"Ship {built.version}?",
        description="The build is ready. Who approves says where it goes.",
        form=Choice,
        deadline="3d",
        name="review",
    )
    tell_team.handles(yes)(error_of(yes).message)
    shipped: str | None = ship(built, yes["values"].channel, yes.by)
    return shipped
