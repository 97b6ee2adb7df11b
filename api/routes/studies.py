"""Studies of an index: drawdowns, breaks, attribution, breadth, stress and events. The same objects as in Python."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.answers.answer import CSV, Answer, file_of, lasting
from api.answers.encode import rows_to_csv
from api.answers.params import IndexId, InstantUs
from api.answers.problems import declared
from api.answers.schemas import OfIndex, made_of, of_index
from api.answers.services import KnownStore, Services, ServicesDep
from api.routes.statistics import names_in, study_answer
from indexer.analytics.align import Clock
from indexer.analytics.drawdown import Bar
from indexer.arrays import to_json
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.rates import read_newest_rate
from indexer.studies.attribution import AttributionStudy
from indexer.studies.breadth import BreadthStudy
from indexer.studies.breaks import BreakStudy
from indexer.studies.catalogue import event_at, find_event, load_events
from indexer.studies.drawdowns import AnalogueTable, DrawdownStudy
from indexer.studies.events import EventStudy
from indexer.studies.fundamentals import FundamentalsStudy
from indexer.studies.performance import PerformanceStudy
from indexer.studies.stress import StressStudy
from indexer.times import DAY_US, from_us, to_us

router = APIRouter(
    prefix="/v1/indices/{index_id}", tags=["statistics"], responses=declared("not_found", "not_enough_data")
)
BarParam = Annotated[Bar, Query(description="Levels at 00:00 UTC of every day, or at every hour")]
From = Annotated[InstantUs | None, Query(description="First level at or after this instant")]
At = Annotated[InstantUs | None, Query(description="Instant; the newest level's when not given")]
To = Annotated[InstantUs | None, Query(description="Last level at or before this instant")]
Depth = Annotated[float, Query(ge=0.01, le=0.95, description="Least depth as a fraction: 0.1 is 10 %")]
Falls = Annotated[
    str | None,
    Query(
        max_length=64,
        pattern=r"^0?\.0{0,3}[1-9]\d{0,2}(,0?\.0{0,3}[1-9]\d{0,2}){0,7}$",
        description="Sizes of falls in one bar as fractions, by commas; 0.03,0.05,0.08 if not given",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawdownQuery:
    """Which pullbacks."""

    min_depth: Depth = 0.10
    start: From = None
    end: To = None
    bar: BarParam = Bar.DAILY
    fall: Falls = None

    def of(self, store: Store, subject: str) -> DrawdownStudy:
        """The study of an index or token."""
        from indexer.studies.drawdowns import FALLS, study_drawdowns

        falls = [float(size) for size in self.fall.split(",")] if self.fall else FALLS
        span = {"start_us": self.start, "end_us": self.end}
        return study_drawdowns(store, subject, min_depth=self.min_depth, **span, bar=self.bar, falls=falls)


AskedDrawdowns = Annotated[DrawdownQuery, Depends()]


@router.get("/drawdowns", response_model=of_index(DrawdownStudy), summary="Pullbacks and recoveries")
def get_drawdowns(store: KnownStore, index_id: IndexId, asked: AskedDrawdowns) -> Response:
    """Episodes at least `min_depth` deep, how long pullbacks of each size took to recover, and what followed falls."""
    return study_answer(store, index_id, asked.of(store, index_id))


@router.get("/performance", response_model=of_index(PerformanceStudy), summary="Performance and risk")
def get_performance(
    store: KnownStore,
    index_id: IndexId,
    beside: Annotated[str, Query(max_length=64, description="Benchmarks or tokens, by commas")] = "BTC,QQQ",
) -> Response:
    """Returns by period and calendar month, risk by window (a year is 365 days), and how it went with others.

    Of daily levels (00:00 UTC); all returns are simple. What of `beside` is not stored is left out.
    """
    from indexer.studies.performance import study_performance

    return study_answer(store, index_id, study_performance(store, index_id, beside=names_in(beside)))


@router.get("/drawdowns/analogues", response_model=of_index(AnalogueTable), summary="Episodes side by side")
def get_analogues(
    store: KnownStore,
    index_id: IndexId,
    beside: Annotated[str, Query(max_length=64, description="Another index or token, e.g. btc")] = "btc",
    bar: BarParam = Bar.DAILY,
) -> Response:
    """The pullback after the ETF approval of 2024-01 beside that of 2025-01, of the index and of another subject."""
    from indexer.studies.drawdowns import compare_episodes

    return study_answer(store, index_id, compare_episodes(store, [index_id, beside], bar=bar))


@router.get("/stress", response_model=of_index(StressStudy), summary="Stress beside the index")
def get_stress(
    store: KnownStore,
    index_id: IndexId,
    *,
    start: Annotated[InstantUs, Query(description="Bars that end after it", examples=["2025-01-20"])],
    end: Annotated[InstantUs, Query(description="Bars that end at or before it", examples=["2025-02-01"])],
    subject: Annotated[str, Query(max_length=64, description="Whose derivatives: the slug of a token")] = "btc",
    bar: BarParam = Bar.DAILY,
) -> Response:
    """Forced closures with long share, funding, open interest and fear & greed in each bar; `absent` names what no
    source has told, which is unknown and not zero. Closures are lower bounds where a venue caps its list."""
    from indexer.studies.stress import stored_stress, study_stress

    readings = stored_stress(store, subject, since_us=start - 2 * DAY_US, until_us=end + 1)
    study = study_stress(store, index_id, readings, start_us=start, end_us=end, subject=subject, bar=bar)
    return study_answer(store, index_id, study)


@router.get("/breaks", response_model=of_index(BreakStudy), summary="Did the relation change")
def get_breaks(
    services: ServicesDep,
    store: KnownStore,
    index_id: IndexId,
    *,
    benchmark: Annotated[str, Query(max_length=32, description="Symbol of a benchmark, or a token")] = "QQQ",
    event: Annotated[str, Query(max_length=64, description="Id of the event that parts before and after")] = "deepseek",
    at: Annotated[InstantUs | None, Query(description="An instant instead of an event")] = None,
    sessions: Annotated[int, Query(ge=30, le=2500, description="Returns on each side, at most")] = 250,
) -> Response:
    """Chow at the event, sup-F at an unknown date, CUSUM, two betas, two correlations, and a verdict in words."""
    from indexer.studies.breaks import study_breaks

    if at is None:
        at = find_event(load_events(store, services.settings.data_dir), event).at_us
    return study_answer(store, index_id, study_breaks(store, index_id, benchmark, at_us=at, sessions=sessions))


@router.get("/attribution", response_model=of_index(AttributionStudy), summary="Who moved the index")
def get_attribution(
    store: KnownStore,
    index_id: IndexId,
    start: Annotated[
        InstantUs, Query(description="From the last level at or before it", examples=["2025-01-24T21:00:00Z"])
    ],
    end: Annotated[
        InstantUs, Query(description="To the last level at or before it", examples=["2025-01-27T21:00:00Z"])
    ],
) -> Response:
    """Contributions of constituents and sub-sectors that add up to the index return, linked over rebalancings."""
    from indexer.studies.attribution import study_attribution

    return study_answer(store, index_id, study_attribution(store, index_id, start_us=start, end_us=end))


@router.get("/breadth", response_model=of_index(BreadthStudy), summary="The market inside the index")
def get_breadth(
    store: KnownStore,
    index_id: IndexId,
    at: At = None,
    universe: Annotated[
        str, Query(max_length=200, description="Tokens beside the members that make the universe, comma separated")
    ] = "btc,eth,sol",
) -> Response:
    """Breadth, dispersion, mean correlation, concentration, strength against btc, eth and QQQ, share, FOMC distance."""
    from indexer.studies.breadth import study_breadth

    return study_answer(store, index_id, study_breadth(store, index_id, at_us=at, universe=names_in(universe)))


Days = Annotated[int, Query(ge=1, le=1500, description="Days of history of the aggregates, to the instant")]


@router.get("/fundamentals", response_model=of_index(FundamentalsStudy), summary="What the networks earn and issue")
def get_fundamentals(store: KnownStore, index_id: IndexId, *, at: At = None, days: Days = 1) -> Response:
    """Dilution, staking share, price to fees, realised turnover, fees and value locked: of each constituent, and of
    the index weighted by the basket with the share of its weight that is covered. Definitions: docs/onchain.md."""
    from indexer.studies.fundamentals import study_fundamentals

    return study_answer(store, index_id, study_fundamentals(store, index_id, at_us=at, days=days))


@router.get(
    "/fundamentals.csv",
    **file_of("text/csv", "time,figure,value,coverage,members: the aggregates day by day"),
    summary="Fundamentals of the index through time as CSV",
)
def fundamentals_csv(store: KnownStore, index_id: IndexId, *, at: At = None, days: Days = 366) -> Response:
    """The aggregates of /fundamentals day by day, for sheets and frames."""
    from indexer.studies.fundamentals import study_fundamentals

    study = study_fundamentals(store, index_id, at_us=at, days=days)
    names = ("figure", "value", "coverage", "members")
    rows = [{"time": from_us(row.at_us), **asdict(row)} for row in study.history or study.aggregates]
    headers = {"X-Count": str(len(rows)), "X-Simulated": str(read_index(store, index_id).simulated).lower()}
    return Answer(rows_to_csv(rows, ("time", *names)), media_type=CSV, headers=headers)


Factors = Annotated[
    str | None,
    Query(
        description="Market models, separated by semicolons; each a list of benchmarks, or tokens such as btc. "
        "QQQ;QQQ,btc if not given, QQQ alone where no btc is stored",
        examples=["QQQ;QQQ,btc"],
        max_length=200,
    ),
]
FirstInterval = Annotated[
    int | None,
    Query(ge=-60, le=0, description="First interval of the window, from the event's own; -1, by the hour its begin"),
]
LastInterval = Annotated[
    int | None, Query(ge=0, le=60, description="Last interval of the window; 5, by the hour the event's end")
]
Estimation = Annotated[int, Query(ge=30, le=1000, description="Intervals that the market model is estimated on")]


EventsOfIndex = made_of(
    "EventsOfIndex",
    {"count": int, "data": list[dict[str, Any]]},
    base=OfIndex,
    doc="The events that can be studied, oldest first; `covered` says whether the index's life holds the event.",
)


@router.get("/events", response_model=EventsOfIndex, summary="Its events")
def list_index_events(services: ServicesDep, store: KnownStore, index_id: IndexId) -> Response:
    """The shipped, sourced events, those of the store and the operator's own, and whether the index covers them."""
    from indexer.studies.series import index_series

    index = read_index(store, index_id)
    own = index_series(store, index_id)
    data = [
        {**to_json(event, wire=True), "covered": bool(own.times_us[0] < event.at_us <= own.times_us[-1])}
        for event in load_events(store, services.settings.data_dir).values()
    ]
    return Answer({"index": index.id, "simulated": index.simulated, "count": len(data), "data": data})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which event study."""

    event: Annotated[str, Path(max_length=64, description="Id of an event", examples=["deepseek"])]
    at: Annotated[InstantUs | None, Query(description="Any date or instant instead of the event")] = None
    until: Annotated[InstantUs | None, Query(description="Its end, if it is no instant; a date is that whole day")] = (
        None
    )
    factors: Factors = None
    first: FirstInterval = None
    last: LastInterval = None
    estimation: Estimation = 120
    clock: Annotated[
        Literal[Clock.AT_CLOSE, Clock.DAILY_UTC, Clock.HOURLY_UTC, Clock.NQ_HOURS], Query(description="Sampling clock")
    ] = Clock.AT_CLOSE

    def of(self, services: Services, store: Store, subject: str) -> EventStudy:
        """The study of an index or token."""
        from indexer.studies.events import study_event, windows_asked

        factors = self.factors
        if factors is None:
            factors = "QQQ" if read_newest_rate(store, "btc") is None else "QQQ;QQQ,btc"
        return study_event(
            store,
            subject,
            self.event if self.at is None else event_at(self.at, until_us=self.until),
            events=load_events(store, services.settings.data_dir),
            models=[names_in(model) for model in factors.split(";")],
            windows=windows_asked(self.first, self.last, self.estimation),
            estimation=self.estimation,
            clock=self.clock,
        )


AFTER_US = 100 * DAY_US  # no window of sessions reaches further
AskedEvent = Annotated[EventQuery, Depends()]


@router.get("/events/{event}", response_model=of_index(EventStudy), summary="Event study")
def get_event_study(services: ServicesDep, store: KnownStore, index_id: IndexId, asked: AskedEvent) -> Response:
    """The index by the hour, then abnormal returns of it, the other indices and the members of that day, with tests.

    The estimation window ends 11 intervals before the event, or where the earliest window begins. Returns are logs:
    exp(x) - 1 is the simple return.
    """
    study = asked.of(services, store, index_id)
    kept = lasting(study.event.until_us + AFTER_US, now_us=to_us(services.clock()))
    return study_answer(store, index_id, study, cache_control=kept)
