"""Reference rates of assets: columns in bulk, the last ones before an instant, and the quotes under them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from sqlalchemy import and_, or_, select
from sqlmodel import Session, col
from sqlmodel import select as select_models

from indexer.arrays import F64, I8, I64
from indexer.reference.rates import RateSeries
from indexer.reference.rules import RateFlag
from indexer.store.bulk import BulkTable, Column, append, read_newest, refuse_bad, within
from indexer.store.columnar import fields, last_of_each, pick, read_columns
from indexer.store.db import Store
from indexer.store.rows import Written
from indexer.store.runs import known_by
from indexer.store.tables import Asset, Bar, Listing, Rate, Run
from indexer.times import INTERVAL_US

RATES = BulkTable(
    model=Rate,
    series="asset_id",
    fixed=(),
    compared=("rate", "status", "flags", "method", "verdicts"),
    refers={"asset_id": Asset, "run_id": Run},
)
BY_ASSET = col(Rate.asset_id) == col(Asset.id)
BY_KEY = col(Rate.asset_id).in_(select(col(Asset.id)))  # a window of time is found in the key of each asset


def write_rates(
    store: Store,
    run_id: int,
    *,
    asset_id: I64,
    time_us: I64,
    rate: F64,
    status: I8,
    method: str | Sequence[str],
    verdicts: Sequence[str],
    flags: I8 | None = None,
) -> Written:
    """How many reference rates were new, revised, unchanged; all columns (R,), `method` one for all or each.

    `flags` are reference.RateFlag, none without them.

    A missing rate is a missing row: rates must be finite and positive (InputError).
    """
    refuse_bad(rate, "rate", "rate")
    columns: dict[str, Column] = {
        "asset_id": asset_id,
        "time": time_us,
        "rate": rate,
        "status": status.astype(np.int64),
        "flags": np.zeros(len(rate), dtype=np.int64) if flags is None else flags.astype(np.int64),
        "method": [method] * len(rate) if isinstance(method, str) else method,
        "verdicts": verdicts,
    }
    return append(store, RATES, columns, run_id=run_id)


def read_rates(
    store: Store,
    *,
    since_us: int | None = None,
    until_us: int | None = None,
    as_of_us: int | None = None,
    evidence: bool = False,
    asset_id: int | None = None,
    methods: Collection[str] = (),
) -> RateSeries:
    """Reference rates by asset and time, since <= time < until: of one asset, or only those made by some methods.

    With `evidence`, methods and verdicts too.
    """
    names = ("method", "verdicts") if evidence else ()
    query = select(*fields(Rate, "asset_id", "time", "rate", "status", "flags", *names))
    query = within(query, Rate, since_us, until_us)
    query = query if since_us is None else query.where(BY_KEY)
    query = query if asset_id is None else query.where(col(Rate.asset_id) == asset_id)
    query = query if not methods else query.where(col(Rate.method).in_(sorted(methods)))
    rates = read_newest(store, query, Rate, series="asset_id", as_of_us=as_of_us)
    status, flags = (rates[name].astype(np.int8) for name in ("status", "flags"))
    texts = {name: rates[name].tolist() for name in names}
    return RateSeries(rates["asset_id"], rates["time"], rates["rate"], status, flags, **texts)


def read_asset_rates(
    store: Store,
    asset_ids: Sequence[int],
    *,
    at_us: I64 | None = None,
    perpetual: Sequence[tuple[int, int]] | None = None,
) -> dict[int, tuple[I64, F64]]:
    """Times and rates of each asset, oldest first, the last revision of each instant; with `at_us` at these alone.

    With `perpetual` windows: of perpetual futures only those from `from` to before `until` of one of them.
    """
    query = select(*fields(Rate, "asset_id", "time", "rate", "flags"))
    query = query.where(col(Rate.asset_id).in_(asset_ids), *known_by(Rate, store.as_of_us))
    query = query if at_us is None else query.where(col(Rate.time).in_(at_us.tolist()))
    query = query.order_by(*fields(Rate, "asset_id", "time", "revision"))
    rates = read_columns(store, query, few=at_us is not None)
    rates = pick(rates, last_of_each(rates["asset_id"], rates["time"]))
    if perpetual is not None:
        good = (rates["flags"] & RateFlag.PERPETUAL) == 0
        for start, until in perpetual:
            good |= (rates["time"] >= start) & (rates["time"] < until)
        rates = pick(rates, good)
    bounds = np.searchsorted(rates["asset_id"], [(number, number + 1) for number in asset_ids]).tolist()
    spans = {number: slice(*span) for number, span in zip(asset_ids, bounds, strict=True)}
    return {number: (rates["time"][span], rates["rate"][span]) for number, span in spans.items()}


def read_rate_history(store: Store) -> dict[str, I64 | F64]:
    """Every rate ever stored, revisions included, by asset and time; `known` is the start of its run (us)."""
    names = fields(Rate, "asset_id", "time", "revision", "rate", "status", "flags")
    query = select(*names, *(column.label("known") for column in fields(Run, "started_at")))
    query = query.join_from(Rate, Run, col(Run.id) == col(Rate.run_id))
    return read_columns(store, query.order_by(*fields(Rate, "asset_id", "time", "revision")))


def rate_at(
    session: Session,
    asset_id: int,
    *,
    at_us: int,
    as_of_us: int | None = None,
    perpetual: Sequence[tuple[int, int]] | None = None,
) -> Rate | None:
    """The last official rate of an asset at or before an instant, None before its first.

    With `perpetual` windows: of perpetual futures only those from `from` to before `until` of one of them.
    """
    query = select_models(Rate).where(Rate.asset_id == asset_id, Rate.time <= at_us, *known_by(Rate, as_of_us))
    if perpetual is not None:
        windows = (and_(col(Rate.time) >= start, col(Rate.time) < until) for start, until in perpetual)
        query = query.where(or_(col(Rate.flags).op("&")(int(RateFlag.PERPETUAL)) == 0, *windows))
    return session.exec(query.order_by(col(Rate.time).desc(), col(Rate.revision).desc()).limit(1)).first()


def read_rate_before(store: Store, slug: str, at_us: int, *, max_age_us: int) -> tuple[float, int] | None:
    """The last reference rate of an asset at or before an instant, and its instant; None when none is young enough."""
    rate = _newest(store, slug, at_us=at_us)
    return None if rate is None or rate.time < at_us - max_age_us else (rate.rate, rate.time)


def read_newest_rate(store: Store, slug: str) -> tuple[float, int, int] | None:
    """The newest reference rate of an asset, its instant and status; None when there is none."""
    rate = _newest(store, slug, at_us=np.iinfo(np.int64).max)
    return None if rate is None else (rate.rate, rate.time, rate.status)


def rated_assets(store: Store) -> set[int]:
    """The ids of the assets that have a rate."""
    return set(store.all(select_models(Asset.id).where(select(col(Rate.asset_id)).where(BY_ASSET).exists())))


def _newest(store: Store, slug: str, *, at_us: int) -> Rate | None:
    with store.session() as session:
        number = session.exec(select_models(Asset.id).where(Asset.slug == slug)).first()
        return None if number is None else rate_at(session, number, at_us=int(at_us), as_of_us=store.as_of_us)


def read_quotes(
    session: Session, asset_id: int, *, time_us: int, as_of_us: int | None = None
) -> list[tuple[Listing, Bar]]:
    """The quotes of an asset at an instant, one for each venue: its finest bar, of two such the listing known first."""
    query = (
        select_models(Listing, Bar)
        .join(Bar, (col(Bar.listing_id) == col(Listing.id)) & (col(Bar.time) == time_us))
        .where(Listing.asset_id == asset_id, *known_by(Bar, as_of_us))
        .order_by(col(Listing.venue), col(Listing.id), col(Bar.revision).desc())
    )
    finest: dict[str, tuple[Listing, Bar]] = {}
    for listing, bar in sorted(session.exec(query), key=lambda pair: (pair[0].venue, INTERVAL_US[pair[0].interval])):
        finest.setdefault(listing.venue, (listing, bar))
    return list(finest.values())
