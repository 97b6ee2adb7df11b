"""Pure statistics on aligned series, and here the words that one asks for them by: the command line needs no more."""

from __future__ import annotations

from enum import StrEnum


class Clock(StrEnum):
    """At which instants the two sides are read."""

    AT_CLOSE = "at_close"
    DAILY_UTC = "daily_utc"
    NQ_HOURS = "nq_hours"
    HOURLY_UTC = "hourly_utc"
    DATE_JOIN = "date_join"


class Method(StrEnum):
    """How a beta is estimated."""

    OLS = "ols"
    EWMA = "ewma"
    KALMAN = "kalman"
    DOWNSIDE = "downside"
    UPSIDE = "upside"
    QUANTILE = "quantile"
    DIMSON = "dimson"
    SCHOLES_WILLIAMS = "scholes_williams"
    MULTI = "multi"
    HAYASHI_YOSHIDA = "hayashi_yoshida"


class Bar(StrEnum):
    """Spacing of the levels: 00:00 UTC of every day, or every full hour."""

    DAILY = "daily"
    HOURLY = "hourly"
