"""What every answer is made of.

Levels are index points, weights and changes are fractions (0.05 is 5 %), times are UTC in ISO 8601. A number
that does not exist is null. Clients should ignore keys they do not know: keys may be added, never removed.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

SIMULATED = "True for a simulated index: its prices are invented, it is for trying the software only"


class LevelStatus(StrEnum):
    """How good a number is: final (3 or more venues), indicative (2), degraded (1), carried, suspended."""

    FINAL = "final"
    INDICATIVE = "indicative"
    DEGRADED = "degraded"
    CARRIED = "carried"
    SUSPENDED = "suspended"


class Wire(BaseModel):
    """Base of the answers: unknown keys are a mistake of ours and fail the tests."""

    model_config = ConfigDict(extra="forbid")


class OfIndex(Wire):
    """Every answer about one index says which, and whether it is simulated."""

    index: str = Field(description="Id of the index", examples=["deai"])
    simulated: bool = Field(description=SIMULATED)
