"""What commands and routes ask of the administrator, from settings: rules, rebuild, pro-forma. No formulas here."""

from __future__ import annotations

from collections.abc import Callable

from indexer.config import Settings
from indexer.errors import InputError, NotEnoughDataError, NotFoundError, did_you_mean
from indexer.levels.markets import load_market, narrowed
from indexer.levels.overrides import events_of, in_force
from indexer.levels.pipeline import UpdateReport, update
from indexer.levels.proforma import ProForma, compute_pro_forma
from indexer.levels.published import read_settled
from indexer.levels.rules import load_rules
from indexer.levels.versions import rules_of
from indexer.methodology.load import load_methodologies
from indexer.methodology.spec import Methodology, universe_lines
from indexer.registry import Registry, load_registry
from indexer.store.db import Store
from indexer.store.read import read_index, read_methodologies
from indexer.times import Clock, utc_now


def registry_for(store: Store, settings: Settings) -> Registry:
    """The registry of the tokens in a store: that of the simulated market where the store holds one."""
    from indexer.demo.build import demo_registry
    from indexer.store.read import read_indices

    simulated = any(row.simulated for row in read_indices(store))
    return demo_registry() if simulated else load_registry(settings.registry)


def methodology_of(store: Store, settings: Settings, *, index_id: str) -> Methodology:
    """The present rules of an index: as stored with its levels, or as loaded when it has none yet.

    Raises NotFoundError for an unknown index, NotEnoughDataError when this program cannot read the stored rules.
    """
    try:
        row = read_index(store, index_id)
    except NotFoundError:
        registry = load_registry(settings.registry)
        known = load_methodologies(settings.methodology_dir, registry=registry).methodologies
        if index_id not in known:
            raise NotFoundError(f'No index "{index_id}".{did_you_mean(index_id, known)}') from None
        return known[index_id]
    return rules_of(next(one for one in read_methodologies(store, index_id) if one.id == row.methodology_id))


def rebuild(
    store: Store,
    settings: Settings,
    *,
    reason: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    clock: Clock = utc_now,
) -> UpdateReport:
    """All history stated anew by what is known now, with a public reason. Raises InputError without one."""
    if len(reason.strip()) < 10:
        raise InputError("a rebuild restates published history: say why in --reason, in 10 characters or more")
    registry = load_registry(settings.registry)
    loaded = load_methodologies(settings.methodology_dir, registry=registry)
    return update(
        store,
        registry=registry,
        methodologies=loaded.methodologies,
        refused=loaded.refused,
        clock=clock,
        progress=progress,
        rules=load_rules(registry, folder=settings.methodology_dir),
        rebuild=reason.strip(),
    )


def pro_forma(
    store: Store, settings: Settings, *, index_id: str, notional_usd: float | None = None, clock: Clock = utc_now
) -> ProForma:
    """The next rebalance of an index at the last known prices. Raises NotEnoughDataError before it can be known."""
    registry = registry_for(store, settings)
    rules = load_rules(registry, folder=settings.methodology_dir)
    methodology = methodology_of(store, settings, index_id=index_id)
    lines = universe_lines(methodology.universe, registry)
    market = narrowed(load_market(store, registry, effects=rules.supplies), methodology, registry)
    settled = read_settled(store, index_id, market=market)
    if settled is None:
        raise NotEnoughDataError(f"index {index_id} has no levels yet; import prices (`deai import`) and `deai update`")
    events = (*rules.events_of(lines), *events_of(in_force(store, now=clock()), index_id))
    return compute_pro_forma(
        market, methodology, settled=settled, policy=rules.policy, events=events, notional_usd=notional_usd
    )
