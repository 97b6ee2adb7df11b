"""The run log and the leases: what was done, what is owed, who may do it now, and which results are provisional.

When a row became known is the start of its run, so questions of the kind "what did we know then" end here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, ColumnElement, case, delete, func, literal, or_, type_coerce, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, select

from indexer.store.columnar import fields, table_of
from indexer.store.db import Store
from indexer.store.rows import RunRow, as_row
from indexer.store.tables import (
    Announcement,
    Asset,
    Bar,
    Benchmark,
    BenchmarkBar,
    DataVersion,
    Lease,
    Level,
    Listing,
    Membership,
    Rate,
    Rebalancing,
    RebalancingItem,
    ReviewNote,
    Run,
    Supply,
)
from indexer.times import from_us, iso, to_us

NOT_YET = timedelta(days=1)
RECENT = timedelta(hours=2)
DONE = "done"
RUNNING = "running"
FAILED = "failed"
COMPUTING, SWEEPING = "update", "retention"  # the kinds of runs that add no facts
HISTORY = "history"  # the kind of the runs that fill the store with bars, and of their manifests
CLOCK = "clock"  # that the clock of the machine was doubted, or accepted
FIRST_FILL = "first-fill"  # the kind of the one run that a fresh store's first filling is
FIRST_FILL_HOURS = 24  # after which levels become official, whatever is still owed


def known_by(model: type[SQLModel], as_of_us: int | None) -> list[ColumnElement[bool]]:
    """The condition that a row's run had started by an instant; none without an instant."""
    if as_of_us is None:
        return []
    return [fields(model, "run_id")[0].in_(select(Run.id).where(Run.started_at <= from_us(as_of_us)))]


def latest(model: type[SQLModel], key: Sequence[str], as_of_us: int | None) -> list[ColumnElement[bool]]:
    """That a row is the newest revision of its key (known at the instant) and was not withdrawn."""
    table, other = table_of(model).c, table_of(model).alias()
    newest = select_columns(func.max(other.c.revision)).where(*(other.c[name] == table[name] for name in key))
    if as_of_us is not None:
        known = select_columns(col(Run.id)).where(col(Run.started_at) <= from_us(as_of_us))
        newest = newest.where(other.c.run_id.in_(known))
    return [table.withdrawn.is_(False), table.revision == newest.scalar_subquery()]


def start_run(store: Store, *, kind: str, key: str, now: datetime, due_at: datetime | None = None) -> int | None:
    """The id of the run for `key`, or None when that key is already done.

    A run that crashed, failed or was interrupted is taken up again under its id; `started_at` moves to `now`,
    because what it writes from here on is known from now on (never earlier: an as-of read must not look ahead).
    So is one that was done in what is still to come: by a clock that was wrong.
    """
    with store.writing_session(log=True) as session:
        run = session.exec(select(Run).where(Run.key == key)).first()
        if run is None:
            run = Run(kind=kind, key=key, due_at=due_at, started_at=now)
        elif run.outcome == DONE and run.started_at <= now + NOT_YET:
            return None
        run.outcome, run.started_at, run.finished_at = RUNNING, now, None
        session.add(run)
        session.flush()
        return run.id


def finish_run(
    store: Store, run_id: int, *, now: datetime, outcome: str = DONE, detail: Mapping[str, Any] | None = None
) -> None:
    """Closes a run: outcome done (its key is never run again), failed or interrupted (it will be).

    A run that is done stays as it was closed: of two processes that worked on it the first one's word counts.
    """
    with store.writing_session(log=True) as session:
        run = session.get(Run, run_id)
        if run is not None and run.outcome != DONE:
            run.finished_at, run.outcome, run.detail = now, outcome, json.dumps(dict(detail or {}))
        _publish_version(session)


def close_gone_runs(store: Store, kinds: Sequence[str], *, now: datetime) -> None:
    """Closes as failed what processes that are gone left running: of `kinds`, whose one worker the caller is, what was
    due (what somebody began by hand may be at work), updates where they are among these, and what has run for a day."""
    ours = col(Run.kind).in_(kinds) & (col(Run.due_at).is_not(None) | (col(Run.kind) == COMPUTING))
    ours |= (col(Run.started_at) < now - NOT_YET) & col(Run.kind).not_in((CLOCK, FIRST_FILL, HISTORY))
    with store.writing_session(log=True) as session:
        for run in session.exec(select(Run).where(Run.outcome == RUNNING, ours)):
            error = {"error": f"its process ended before the work was done; noticed at {now:%Y-%m-%d %H:%M} UTC"}
            run.finished_at, run.outcome, run.detail = now, FAILED, json.dumps(json.loads(run.detail) | error)
        _publish_version(session)


def _publish_version(session: Session) -> None:
    changed = update(DataVersion).where(col(DataVersion.pending))
    session.execute(changed.values(token=uuid4().hex, pending=False))


def enter_covered(store: Store, covered: Mapping[str, datetime], *, kind: str, now: datetime, by: str) -> None:
    """Enters the keys of instants that the run `by` did the work of as done, all at once: a year has 8,760 of them."""
    if not covered:
        return
    with store.writing_session(log=True) as session:
        span = col(Run.due_at).between(min(covered.values()), max(covered.values()))
        known = {run.key: run for run in session.exec(select(Run).where(Run.kind == kind, span))}
        for key, due_at in covered.items():
            run = known.get(key) or Run(kind=kind, key=key, due_at=due_at, started_at=now)
            if run.outcome != DONE:
                run.started_at, run.finished_at, run.outcome = now, now, DONE
                run.detail = json.dumps({"caught_up_by": by})
                session.add(run)


def write_progress(store: Store, run_id: int, detail: Mapping[str, Any]) -> None:
    """Says in a run that is under way how far it is, or that it is provisional (`MARK`)."""
    with store.writing_session(log=True) as session:
        run = session.get(Run, run_id)
        if run is not None and run.outcome == RUNNING:
            run.detail = json.dumps(dict(detail))


def first_fill_is_open(store: Store, *, now: datetime) -> bool:
    """Whether a fresh store is being filled for the first time: begun, not complete, and less than a day old."""
    runs = read_runs(store, kind=FIRST_FILL, limit=1)
    begun = runs[0].due_at if runs and runs[0].outcome != DONE else None
    return begun is not None and now < begun + timedelta(hours=FIRST_FILL_HOURS)


def read_runs(store: Store, *, kind: str | None = None, limit: int | None = None) -> list[RunRow]:
    """Runs, newest first; of one kind when given."""
    query = select(Run).order_by(col(Run.id).desc()).limit(limit)
    if kind is not None:
        query = query.where(Run.kind == kind)
    return [_run_row(run) for run in store.all(query)]


def newest_by_kind(store: Store, *, outcome: str | None = None) -> dict[str, RunRow]:
    """The newest run of each kind; only of those with an outcome when given."""
    newest = select_columns(func.max(col(Run.id))).group_by(col(Run.kind))
    if outcome is not None:
        newest = newest.where(col(Run.outcome) == outcome)
    with store.session() as session:
        runs = session.exec(select(Run).where(col(Run.id).in_(newest)).order_by(col(Run.kind)))
        return {run.kind: _run_row(run) for run in runs}


def read_run(store: Store, run_id: int) -> RunRow:
    """A run by its id."""
    [run] = store.all(select(Run).where(Run.id == run_id))
    return _run_row(run)


def last_run_before(store: Store, kind: str, before: datetime) -> RunRow | None:
    """The newest finished run of a kind due before an instant that did work of its own; None when there is none."""
    query = (
        select(Run)
        .where(Run.kind == kind, Run.outcome == DONE, col(Run.due_at) < before)
        .where(col(Run.detail).not_like('%"caught_up_by"%'))
        .order_by(col(Run.due_at).desc())
    )
    run = store.first(query)
    return None if run is None else _run_row(run)


def last_due(store: Store, kind: str, *, now: datetime) -> datetime | None:
    """The newest instant by `now` that a job of this kind was done for, None when it never was."""
    query = select(func.max(Run.due_at)).where(Run.kind == kind, Run.outcome == DONE, col(Run.due_at) <= now)
    return store.first(query)


def newest_instant(store: Store) -> datetime | None:
    """The newest instant that a run says it began at, since the clock was last accepted; None before any."""
    accepted = select(func.max(Run.id)).where(Run.kind == CLOCK, Run.outcome == DONE).scalar_subquery()
    query = select(func.max(Run.started_at)).where(Run.kind != CLOCK, col(Run.id) > func.coalesce(accepted, 0))
    return store.first(query)


def last_update(store: Store, *, now: datetime) -> tuple[int, int] | None:
    """The id and start (us) of the newest finished update begun by `now`, None before the first.

    One of a time still to come is by a clock that was wrong, and would hide all facts since.
    """
    query = select(Run).where(Run.kind == COMPUTING, Run.outcome == DONE, col(Run.started_at) <= now)
    run = store.first(query.order_by(col(Run.started_at).desc(), col(Run.id).desc()))
    return None if run is None else (run.id, to_us(run.started_at))


def facts_mark(store: Store) -> str:
    """A text that changes whenever a run that may have added facts (an import, a fetch) was closed."""
    query = select(func.count(), func.max(Run.id), func.max(Run.finished_at))
    [(count, last, finished)] = store.all(
        query.where(col(Run.kind).not_in(NO_FACTS), col(Run.finished_at).is_not(None))
    )
    return f"{count}:{last}:{finished and to_us(finished)}"


NO_FACTS = (COMPUTING, SWEEPING, CLOCK)


def fact_runs_known(store: Store) -> tuple[int, list[int]]:
    """The newest run by now, and those up to it that may add facts yet: under way, and not computing."""
    adding = col(Run.kind).not_in(NO_FACTS) & (col(Run.outcome) == RUNNING)
    with store.session() as session:
        newest = session.exec(select(func.max(Run.id))).one()
        return int(newest or 0), list(session.exec(select(Run.id).where(adding)))


def fact_runs_after(store: Store, newest: int, unfinished: Sequence[int], *, since_us: int) -> list[int]:
    """The runs that may have added facts since `fact_runs_known` gave these; one that was begun again since then, or
    went on after it was given up, is of them."""
    since = from_us(since_us)
    later = (col(Run.id) > newest) | col(Run.id).in_(unfinished)
    later |= (col(Run.started_at) >= since) | (col(Run.finished_at) >= since)
    query = select(Run.id).where(later, col(Run.kind).not_in(NO_FACTS))
    return store.all(query)


def read_version(store: Store) -> str:
    """A token that is another one after every run that changed data. Starting a run, or closing one that changed
    nothing, leaves it."""
    return store.all(select(DataVersion.token))[0]


def oldest_change(store: Store, now: datetime) -> int | None:
    """The earliest instant (us) of a bar, rate, level or close that runs of the log's last two hours wrote, or None."""
    with store.session() as session:
        newest = session.exec(select(func.max(Run.finished_at)).where(col(Run.finished_at) <= now)).one()
        ended = col(Run.finished_at)
        runs = select(Run.id).where(ended.is_(None) | (ended >= newest - RECENT) if newest else ended.is_(None))
        earliest = [
            session.exec(select(func.min(model.time)).where(col(model.run_id).in_(runs))).one()
            for model in (Bar, Rate, Level, BenchmarkBar)
        ]
    return min((int(us) for us in earliest if us is not None), default=None)


def fact_runs(store: Store) -> list[int]:
    """When each run started (us) that may have added facts or has corrected official rates, ascending."""
    correcting = col(Run.id).in_(select(Rate.run_id).where(Rate.revision > 1))
    query = (
        select(Run.started_at)
        .where(col(Run.kind).not_in((COMPUTING, CLOCK)) | correcting)
        .order_by(col(Run.started_at))
    )
    return [to_us(started) for started in store.all(query)]


def runs_before(store: Store, instant: datetime | None) -> set[int]:
    """The ids of the runs that started before an instant; none when there is no instant."""
    if instant is None:
        return set()
    return set(store.all(select(Run.id).where(Run.started_at < instant)))


def deciding_runs(store: Store, index_id: str) -> dict[int, tuple[int, str]]:
    """By id of a rebalancing: when the run that decided it started (us), and the run's detail (JSON)."""
    query = select(Rebalancing.id, Run.started_at, Run.detail).join(Run).where(Rebalancing.index_id == index_id)
    return {number: (to_us(started), detail) for number, started, detail in store.all(query)}


def restating_runs(store: Store, index_id: str) -> list[int]:
    """When each run started (us) that restated levels of an index."""
    restating = select(Level.run_id).where(Level.index_id == index_id, Level.revision > 1)
    query = select(Run.started_at).where(col(Run.id).in_(restating)).distinct().order_by(col(Run.started_at))
    return [to_us(started) for started in store.all(query)]


def forgotten_before(store: Store) -> datetime | None:
    """Before which instant raw answers may be gone, by the sweeps that were done; None before any."""
    query = select(Run.detail).where(Run.kind == SWEEPING, Run.outcome == DONE)
    limits = [json.loads(detail).get("before") for detail in store.all(query)]
    return max((datetime.fromisoformat(limit) for limit in limits if limit), default=None)


def take_lease(store: Store, name: str, holder: str, ttl_s: float, *, elapsed_s: float) -> bool:
    """Whether `holder` has the lease now: it was free, expired, or already its own (then it is prolonged).

    No wall clock counts: a server's own time does, and on an embedded store `elapsed_s`, the machine's seconds since
    it started. Both are taken before the writer's turn is waited for, so that waiting ages no lease. A lease that
    would last longer than any can is from before the machine started, and void.
    """
    with store.writing_session(log=True) as session:
        now = from_us(round(elapsed_s * 1e6)) if store.is_sqlite else session.exec(select(func.now())).one()
        lease, ttl = session.get(Lease, name), timedelta(seconds=ttl_s)
        if lease is not None and lease.holder != holder and now < lease.expires_at <= now + 10 * ttl:
            return False
        session.merge(Lease(name=name, holder=holder, expires_at=now + ttl))
        return True


def release_lease(store: Store, name: str, holder: str) -> None:
    """Gives the lease back if `holder` has it; another holder's lease is left alone."""
    with store.writing_session(log=True) as session:
        lease = session.get(Lease, name)
        if lease is not None and lease.holder == holder:
            session.delete(lease)


def _run_row(run: Run) -> RunRow:
    return as_row(RunRow, run, detail=json.loads(run.detail))


MARK = {"provisional": True}  # in the detail of a run whose results are; said at its start, if it should be killed


def is_provisional() -> ColumnElement[bool]:
    """Of a run: that its results are those of a first fill.

    They are replaced as if they had never been, so that no order of arrival stays: neither sealed nor under the
    restatement policy. What an index was is removed only when what it is is ready.
    """
    return (col(Run.kind) == COMPUTING) & col(Run.detail).like(f"%{json.dumps(MARK)[1:-1]}%")


def forget_provisional_rates(store: Store) -> bool:
    """Removes the official rates of provisional runs; whether anything that such runs gave was still out."""
    runs = select(col(Run.id)).where(is_provisional())
    with store.writing() as connection:
        if connection.execute(runs.limit(1)).first() is None:
            return False
        rates = connection.execute(delete(Rate).where(col(Rate.run_id).in_(runs))).rowcount
        levels = connection.execute(select(col(Level.index_id)).where(col(Level.run_id).in_(runs)).limit(1)).first()
        return rates > 0 or levels is not None


def forget_provisional_index(store: Store, index_id: str) -> None:
    """Removes what provisional runs published of an index."""
    runs = select(col(Run.id)).where(is_provisional())
    changes = select(col(Rebalancing.id)).where(
        col(Rebalancing.index_id) == index_id, col(Rebalancing.run_id).in_(runs)
    )
    with store.writing() as connection:
        connection.execute(delete(RebalancingItem).where(col(RebalancingItem.rebalancing_id).in_(changes)))
        for table in (Rebalancing, Membership, Level, ReviewNote, Announcement):
            connection.execute(delete(table).where(col(table.index_id) == index_id, col(table.run_id).in_(runs)))


def runs_with_rows(store: Store, model: type[SQLModel]) -> set[int]:
    """The numbers of the runs that wrote into a table."""
    with store.reading() as connection:
        return set(connection.execute(select_columns(*fields(model, "run_id")).distinct()).scalars())


def late_facts(store: Store, runs: Collection[int], *, before_us: int, currencies: Collection[str]) -> str:
    """What of the rows of some runs can change what was so before an instant, in words, or ''.

    Those are bars and rates before it, closes of the benchmarks that are currencies too, and any supply.
    """
    quoted = select_columns(col(Benchmark.id)).where(col(Benchmark.symbol).in_(currencies))
    searches = {
        "a bar": select_columns(col(Bar.time)).where(col(Bar.time) < before_us),
        "a rate": select_columns(col(Rate.time)).where(col(Rate.time) < before_us),
        "a currency's rate": select_columns(col(BenchmarkBar.time)).where(
            col(BenchmarkBar.time) < before_us, col(BenchmarkBar.benchmark_id).in_(quoted)
        ),
        "a supply": select_columns(col(Supply.id)),
    }
    models: tuple[type[SQLModel], ...] = (Bar, Rate, BenchmarkBar, Supply)
    with store.reading() as connection:
        for (word, query), model in zip(searches.items(), models, strict=True):
            mine = fields(model, "run_id")[0].in_(runs)
            if connection.execute(query.where(mine).limit(1)).first() is not None:
                return f"{word} came" if model is Supply else f"{word} came of before {iso(before_us)}"
    return ""


def first_data_since(store: Store, since_us: int, *, until_us: int) -> list[str]:
    """Slugs of assets whose first data came in runs started after `since_us` and is true at or before `until_us`.

    First data of a listing, or of a kind of supply of a source, is what has none before it, or reaches further back
    or further on than what was known. Corrections and rows in between are not.
    """
    new = select_columns(col(Run.id)).where(col(Run.kind) != COMPUTING, col(Run.started_at) > from_us(since_us))
    with store.reading() as connection:
        if connection.execute(new.limit(1)).first() is None:
            return []
        listings = _reaching(Bar, ("listing_id",), time="time", new=new, until_us=until_us)
        readings = _reaching(Supply, ("asset_id", "kind", "source"), time="observed_at", new=new, until_us=until_us)
        of_listings = select_columns(col(Asset.slug)).join(Listing).where(col(Listing.id).in_(listings))
        of_readings = select_columns(col(Asset.slug)).where(col(Asset.id).in_(readings))
        slugs = [slug for query in (of_listings, of_readings) for slug in connection.execute(query).scalars()]
    return sorted(set(slugs))


def _reaching(model: type[SQLModel], series: Sequence[str], *, time: str, new: Any, until_us: int) -> Any:
    """The first column of the series in which new rows reach before or after the old ones."""
    at = type_coerce(fields(model, time)[0], BigInteger)
    is_new = fields(model, "run_id")[0].in_(new)
    new_first, old_first = func.min(case((is_new, at))), func.min(case((~is_new, at)))
    new_last, old_last = func.max(case((is_new & (at <= literal(until_us)), at))), func.max(case((~is_new, at)))
    earlier_or_later = or_(old_first.is_(None), new_first < old_first, new_last > old_last)
    keys = fields(model, *series)
    return select_columns(keys[0]).group_by(*keys).having(new_first <= literal(until_us), earlier_or_later)
