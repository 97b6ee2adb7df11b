"""The tables, by SQLModel: the only description of the store (Alembic's migrations follow it).

Bulk rows (bar, rate, level, benchmark_bar, metric) have natural keys without a row id, instants as int64 microseconds
("us"), and a `revision`: a correction is a new revision, nothing is overwritten. When a row became known is the
`started_at` of its run. Their references are checked by the writer, once a chunk: foreign keys checked row by
row take two thirds of the writing on PostgreSQL. `SQLModel(table=True)` does not validate: what comes here was
validated before.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from indexer.store.columns import NAMING, ExactInteger, Instant

SQLModel.metadata.naming_convention = NAMING

BULK = {"sqlite_with_rowid": False}


class Asset(SQLModel, table=True):
    """A token, identified by chain and contract; `slug` is our stable name for it, symbols are labels."""

    __table_args__ = (UniqueConstraint("chain", "contract"),)
    id: int = Field(default=None, primary_key=True)
    slug: str = Field(unique=True)
    name: str
    symbol: str = Field(description="label in use now; past labels are in the registry")
    chain: str
    contract: str
    decimals: int
    sub_sector: str
    status: str
    line: str = Field(index=True, description="slug of the line's last successor; itself when it has none")
    line_ratio: float = Field(default=1.0, description="units of the line's token per unit of this one")


class Listing(SQLModel, table=True):
    """Where and how an asset's price is seen: venue, source, bar interval, and what the source's stamp means."""

    __table_args__ = (UniqueConstraint("asset_id", "venue", "interval", "source"),)
    id: int = Field(default=None, primary_key=True)
    asset_id: int = Field(foreign_key="asset.id", index=True)
    venue: str
    source: str
    symbol: str
    interval: str
    quote: str = "USD"
    price_basis: str = "trade"
    stamp: str = Field(description="bar_open, bar_close, instant or session_date, as the source stamps")


class Bar(SQLModel, table=True):
    """Prices of one listing over one interval. `time` is when the close was true (the bar's end)."""

    __table_args__ = (CheckConstraint("close > 0", name="close_positive"), BULK)
    listing_id: int = Field(primary_key=True)
    time: int = Field(sa_column=Column(BigInteger, primary_key=True))
    revision: int = Field(default=1, primary_key=True)
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float
    volume_base: float | None = None
    volume_usd: float | None = None
    run_id: int = Field(index=True)


class Supply(SQLModel, table=True):
    """One supply reading in base units. `kind`: circulating, free_float, total, burnt, treasury, …"""

    __table_args__ = (UniqueConstraint("asset_id", "kind", "source", "observed_at", "revision"),)
    id: int = Field(default=None, primary_key=True)
    asset_id: int = Field(foreign_key="asset.id", index=True)
    kind: str
    origin: str = Field(description="on_chain, reported or imported")
    source: str
    observed_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    revision: int = 1
    amount: int = Field(sa_column=Column(ExactInteger, nullable=False))
    chain: str | None = None
    block_number: int | None = Field(default=None, sa_column=Column(BigInteger))
    block_hash: str | None = None
    finality: str | None = None
    run_id: int = Field(foreign_key="run.id")


class Rate(SQLModel, table=True):
    """The reference rate of an asset at an instant. `verdicts` is JSON: venue -> verdict; prices are in `bar`."""

    __table_args__ = (CheckConstraint("rate > 0", name="rate_positive"), BULK)
    asset_id: int = Field(primary_key=True)
    time: int = Field(sa_column=Column(BigInteger, primary_key=True))
    revision: int = Field(default=1, primary_key=True)
    rate: float
    status: int
    flags: int = Field(default=0, description="reference.RateFlag: 1 of perpetual futures, 2 a quote taken at par")
    method: str
    verdicts: str
    run_id: int = Field(index=True)


class MethodologyVersion(SQLModel, table=True):
    """A methodology file as it was when levels were computed by it."""

    __tablename__ = "methodology_version"
    __table_args__ = (UniqueConstraint("index_id", "hash"),)
    id: int = Field(default=None, primary_key=True)
    index_id: str = Field(index=True)
    version: str
    hash: str
    text: str = Field(sa_column=Column(Text, nullable=False))
    loaded_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class IndexInfo(SQLModel, table=True):
    """An index: its present methodology and state. `simulated` marks a demo and is shown everywhere."""

    __tablename__ = "index_info"
    id: str = Field(primary_key=True)
    name: str
    description: str
    simulated: bool = False
    state: str = Field(default="active", description="proposed, active, suspended, terminated")
    methodology_id: int = Field(foreign_key="methodology_version.id")


class Membership(SQLModel, table=True):
    """Who was a constituent from when to when (half-open), and why."""

    __table_args__ = (UniqueConstraint("index_id", "asset_id", "valid_from", "revision"),)
    id: int = Field(default=None, primary_key=True)
    index_id: str = Field(index=True)
    asset_id: int = Field(foreign_key="asset.id")
    valid_from: datetime = Field(sa_column=Column(Instant, nullable=False))
    valid_to: datetime | None = Field(default=None, sa_column=Column(Instant))
    reason_in: str
    reason_out: str | None = None
    revision: int = 1
    withdrawn: bool = Field(default=False, description="a later computation found that it was not so")
    run_id: int = Field(foreign_key="run.id")


class Rebalancing(SQLModel, table=True):
    """One change of units (kind: base, rebalance, reconstitution, suspension, event, resumption)."""

    __table_args__ = (UniqueConstraint("index_id", "effective_at", "kind", "revision"),)
    id: int = Field(default=None, primary_key=True)
    index_id: str
    kind: str
    reference_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    effective_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    revision: int = 1
    withdrawn: bool = Field(default=False, description="a later computation found that it was not so")
    methodology_id: int = Field(foreign_key="methodology_version.id")
    level: float
    divisor_before: float
    divisor_after: float
    turnover: float
    run_id: int = Field(foreign_key="run.id")


class ReviewNote(SQLModel, table=True):
    """What was not as the rules plan it (kind: skipped, relaxed, impaired, suspended), from when to when and why.

    Revisions, as of a rebalancing: what an as-of read sees is what was known then."""

    __tablename__ = "review_note"
    index_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    start_at: datetime = Field(sa_column=Column(Instant, primary_key=True))
    revision: int = Field(default=1, primary_key=True)
    withdrawn: bool = False
    end_at: datetime | None = Field(default=None, sa_column=Column(Instant), description="of a spell that has ended")
    reference_at: datetime | None = Field(default=None, sa_column=Column(Instant), description="of a review")
    reason: str = Field(sa_column=Column(Text, nullable=False))
    run_id: int = Field(foreign_key="run.id")


class RebalancingItem(SQLModel, table=True):
    """One candidate of a rebalancing: units and weights before and after, and the evidence for it."""

    __tablename__ = "rebalancing_item"
    rebalancing_id: int = Field(primary_key=True, foreign_key="rebalancing.id")
    asset_id: int = Field(primary_key=True, foreign_key="asset.id")
    units_before: float
    units_after: float
    weight_drifted: float
    weight_target: float
    price: float | None = None
    supply: float | None = None
    supply_source: str | None = None
    supply_observed_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    supply_stale_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    free_float_cap_usd: float | None = None
    median_adv_usd: float | None = None
    rank: int | None = None
    reason: str = ""


class Level(SQLModel, table=True):
    """A published level. `hash` covers the inputs' hash, the methodology, the level and the previous hash."""

    __table_args__ = (CheckConstraint("level > 0", name="level_positive"), BULK)
    index_id: str = Field(primary_key=True)
    time: int = Field(sa_column=Column(BigInteger, primary_key=True))
    revision: int = Field(default=1, primary_key=True)
    level: float
    status: int
    carried_weight: float
    perpetual_weight: float = 0.0
    constituents: int = Field(default=0, description="how many are held; 0 in rows of older programs")
    methodology_id: int
    inputs_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    prev_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    published_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    run_id: int = Field(index=True)


class Benchmark(SQLModel, table=True):
    """Something to hold the index against: an equity, ETF, equity index or future (or a token)."""

    id: int = Field(default=None, primary_key=True)
    symbol: str = Field(unique=True)
    name: str
    kind: str
    calendar: str = "XNYS"


class BenchmarkBar(SQLModel, table=True):
    """A benchmark's close; `time` is the instant of the close. Adjusted and raw closes are kept apart."""

    __tablename__ = "benchmark_bar"
    __table_args__ = (CheckConstraint("close > 0", name="close_positive"), BULK)
    benchmark_id: int = Field(primary_key=True)
    interval: str = Field(primary_key=True)
    time: int = Field(sa_column=Column(BigInteger, primary_key=True))
    revision: int = Field(default=1, primary_key=True)
    close: float
    adjusted_close: float | None = None
    volume: float | None = None
    price_basis: str
    source: str
    run_id: int


class Metric(SQLModel, table=True):
    """A value of one named quantity at an instant: funding, open interest, liquidations, sentiment, policy rates."""

    __table_args__ = (BULK,)
    subject: str = Field(primary_key=True, description="asset slug, or market")
    name: str = Field(primary_key=True, description="the quantity with its unit, e.g. open_interest_usd")
    source: str = Field(primary_key=True)
    time: int = Field(sa_column=Column(BigInteger, primary_key=True))
    revision: int = Field(default=1, primary_key=True)
    value: float
    run_id: int


class Announcement(SQLModel, table=True):
    """Something users of an index are told, with its date: a restatement, a rebalance, a decision. Never changed."""

    id: int = Field(default=None, primary_key=True)
    key: str = Field(unique=True, description="what makes it one announcement, however often it is found")
    kind: str = Field(index=True, description="restatement, deferred, event, proforma, effective, state, override, …")
    index_id: str | None = Field(default=None, index=True, description="empty: about all indices")
    published_at: datetime = Field(sa_column=Column(Instant, nullable=False, index=True))
    effective_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    title: str
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    run_id: int = Field(foreign_key="run.id")


class Seal(SQLModel, table=True):
    """What one run wrote into one table, so that a later change of any of those rows is found and named.

    `digest` is over the rows in the order of their key, `marks` holds 8 bytes for each and `keys` the keys, packed,
    to name a row that is gone; seals are chained.
    """

    __table_args__ = (UniqueConstraint("run_id", "about"),)
    id: int = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id")
    about: str = Field(description="the table")
    rows: int
    digest: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    marks: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    keys: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    prev_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))


class Override(SQLModel, table=True):
    """A decision of people over a value, a membership or an event: with reason, two names and an end. Public."""

    id: int = Field(default=None, primary_key=True)
    kind: str = Field(description="value, membership or event")
    index_id: str | None = None
    asset: str = Field(description="slug of the token's line, or of the token for a value")
    starts_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    expires_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    proposed_by: str
    proposed_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    approved_by: str | None = None
    approved_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = Field(default=None, sa_column=Column(Instant))


class Challenge(SQLModel, table=True):
    """A doubt about a published level, with everything it was computed from as it was when the doubt was raised."""

    id: int = Field(default=None, primary_key=True)
    index_id: str = Field(index=True)
    time: datetime = Field(sa_column=Column(Instant, nullable=False))
    revision: int
    reason: str = Field(sa_column=Column(Text, nullable=False))
    opened_by: str
    opened_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    outcome: str | None = None
    frozen: str = Field(sa_column=Column(Text, nullable=False))
    sha256: str = Field(description="of `frozen`")


class Run(SQLModel, table=True):
    """One piece of work, done at most once: `key` is what makes it idempotent (e.g. import:<sha256>)."""

    id: int = Field(default=None, primary_key=True)
    kind: str = Field(index=True)
    key: str = Field(unique=True)
    due_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    started_at: datetime = Field(sa_column=Column(Instant, nullable=False, index=True))
    finished_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    outcome: str = Field(default="running", description="running, done, failed, interrupted")
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))


class Event(SQLModel, table=True):
    """Something dated that the charts and studies refer to (a corporate action, a shock, a decision)."""

    id: int = Field(default=None, primary_key=True)
    slug: str = Field(unique=True)
    kind: str
    time: datetime = Field(sa_column=Column(Instant, nullable=False))
    title: str
    source: str
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))


class Reject(SQLModel, table=True):
    """A row that was not taken, with file, line, reason and the row itself. Never deleted."""

    __table_args__ = (UniqueConstraint("file_sha256", "line", "reason"),)
    id: int = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    file: str
    file_sha256: str
    line: int
    reason: str
    row: str = Field(sa_column=Column(Text, nullable=False))


class QualityEntry(SQLModel, table=True):
    """Something the data lacked or disagreed about, from when to when. Open while `closed_at` is empty."""

    __tablename__ = "quality_entry"
    __table_args__ = (UniqueConstraint("kind", "subject", "opened_at"),)
    id: int = Field(default=None, primary_key=True)
    kind: str = Field(index=True, description="gap, stale, disagreement, reject, source_down, …")
    subject: str = Field(description="asset, venue, source or index it is about")
    opened_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    run_id: int = Field(foreign_key="run.id")


class Payload(SQLModel, table=True):
    """A raw answer kept in the archive, by hash, linked to the run it fed."""

    __table_args__ = (UniqueConstraint("sha256", "run_id"),)
    id: int = Field(default=None, primary_key=True)
    sha256: str
    run_id: int = Field(foreign_key="run.id", index=True)
    source: str
    url: str = Field(description="with keys redacted")
    fetched_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    bytes: int


class Lease(SQLModel, table=True):
    """Who may do the scheduled work now. One row a name; taken over when it has expired."""

    name: str = Field(primary_key=True)
    holder: str
    expires_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class DataVersion(SQLModel, table=True):
    """One row: a token that is another one after every run that changed data; `pending` while a run has changed some
    and is not closed. The run log, leases and the archive's links are no data (see `Store.writing`)."""

    __tablename__ = "data_version"
    id: int = Field(default=1, primary_key=True)
    token: str
    pending: bool = False


class AlertState(SQLModel, table=True):
    """Where an alert rule stands with one subject. Own state, under no seal."""

    __tablename__ = "alert_state"
    rule: str = Field(primary_key=True)
    subject: str = Field(primary_key=True, description="index or source; empty: since when the rule looks")
    side: str = Field(description="above, below or inside its bounds; a status; the number of an announcement")
    seen: int = Field(sa_type=BigInteger, description="the last instant (us), or announcement, that it looked at")


class AlertMessage(SQLModel, table=True):
    """One event on its way to one target; stored with the crossing that it tells of, before anything is sent."""

    __tablename__ = "alert_message"
    webhook_id: str = Field(primary_key=True, description="of the event: the same for every target and every try")
    target: str = Field(primary_key=True)
    rule: str
    created_at: datetime = Field(sa_type=Instant, index=True)
    text: str = Field(sa_type=Text)
    body: str = Field(sa_type=Text, description="JSON, the very bytes that are signed")
    outcome: str = Field(default="waiting", description="waiting, sending (unknown since a kill), sent, dead")
    tries: int = 0
    due_at: datetime | None = Field(default=None, sa_type=Instant, index=True, description="when it is tried (again)")
    answer: str = Field(default="", sa_type=Text, description="what the last try gave")


Index("ix_rebalancing_index_effective", Rebalancing.index_id, Rebalancing.effective_at)  # type: ignore[arg-type]
Index("ix_level_published", Level.index_id, Level.run_id, Level.time, Level.revision)  # type: ignore[arg-type]

for table in ("bar", "benchmark_bar", "rate"):
    column = SQLModel.metadata.tables[table].c
    # almost always empty: tells a bulk read at once that it need not look at revisions
    revised = column.revision > 1
    Index(f"ix_{table}_revised", column.time, sqlite_where=revised, postgresql_where=revised)
