"""The commands that prove: verify (in memory, or on an empty store) and replay."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.command import Answer, opened, progress, say, table, table_of
from indexer.errors import InputError, VerificationError
from indexer.times import from_us, parse_instant

if TYPE_CHECKING:
    from indexer.config import Settings
    from indexer.store.db import Store
    from indexer.verify.replay import Replayed
    from indexer.verify.store import Verification

Progress = Callable[[int, int], None]


def verify(
    index: Annotated[list[str] | None, typer.Argument(help="Indices to verify; all when none is named.")] = None,
    proof: Annotated[
        Path | None, typer.Option("--from", help="Check this proof file instead; no database is opened.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Read only archived inputs that came since (date or instant); all when not given."),
    ] = None,
    empty: Annotated[
        bool, typer.Option("--on-empty", help="Also compute every update again, on an empty store that is thrown away.")
    ] = False,
) -> Answer:
    """Derive all facts again from the archive, levels by the fast and by the plain calculator; compare all.

    From the archive come imports, fixings, the history of bars, benchmarks, reported supplies, readings of chains and
    measures of stress, byte for byte as they came. What was never kept is counted and checked by its seals.
    Exit code 7 when something differs, naming the first rows, answers or instants that do.
    """
    if proof is not None:
        return _verify_proof(proof)
    from indexer.levels.rules import load_rules
    from indexer.verify.store import verify_all
    from indexer.workflow.work import registry_of

    from_then = from_us(parse_instant(since)) if since else None
    with opened() as (store, settings):
        registry = registry_of(settings)
        rules = load_rules(registry, folder=settings.methodology_dir)
        with (
            tempfile.TemporaryDirectory(prefix="deai-") as folder,
            progress("verifying") as tick,
        ):
            first, second = _halves(tick)
            again = Path(folder) / "again.sqlite"
            inputs = _replayed(store, settings, again, since=from_then, updates=empty, tick=first)
            results = verify_all(store, registry, only=index or [], progress=second, rules=rules)
    broken = [*inputs.problems, *(f"{r.index_id}: {r.problem}" for r in results if not r.ok)]
    payload = {"inputs": inputs, "indices": results}
    return Answer(payload, lambda: _show(inputs, results), failed=_broken(broken))


def _broken(problems: Sequence[str]) -> VerificationError | None:
    return VerificationError("; ".join(problems)) if problems else None


def _halves(tick: Progress) -> tuple[Progress, Progress]:
    """Two counters of one progress."""
    known = [(0, 0), (0, 0)]

    def half(n: int) -> Progress:
        def report(done: int, total: int) -> None:
            known[n] = (done, total)
            tick(known[0][0] + known[1][0], known[0][1] + known[1][1])

        return report

    return half(0), half(1)


def _show(inputs: Replayed, results: list[Verification]) -> None:
    rows = [
        {"row": r, "chain": "whole" if r.chain_whole else "broken", "verdict": "same" if r.ok else r.problem}
        for r in results
    ]
    table_of(
        rows,
        "index: row.index_id, levels: row.levels, max difference: row.max_difference, hash chain: chain, verdict",
        title="Both calculators and what is stored",
    )
    _show_replayed(inputs)


def _show_replayed(inputs: Replayed) -> None:
    runs = ", ".join(f"{count:,} {kind}" for kind, count in sorted(inputs.derived.items())) or "no"
    say(
        f"archive: {inputs.answers:,} files and answers are what came; {runs} runs ({inputs.rows:,} rows) derived again"
        f"{f', {inputs.updates:,} updates computed again' if inputs.updates else ''}: "
        f"{'the same, byte for byte' if inputs.ok else 'NOT the same'}"
    )
    if inputs.taken_over or inputs.over:
        say(
            f"  of {inputs.taken_over:,} runs no inputs were kept, of {inputs.over:,} their time is over: "
            "their rows are checked by their seals"
        )
    for problem in inputs.problems:
        say(f"  {problem}")


def replay(
    into: Annotated[Path, typer.Argument(help="File of the new, empty store.")],
) -> Answer:
    """Do all history again on an empty store and compare it byte for byte. Example: deai replay /tmp/again.sqlite"""
    if into.exists():
        raise InputError(f"{into} is there already; name a new file")
    with opened() as (store, settings), progress("replaying") as tick:
        again = _replayed(store, settings, into, tick=tick)
    return Answer(again, lambda: _show_replayed(again), failed=_broken(again.problems))


def _replayed(
    store: Store,
    settings: Settings,
    into: Path,
    *,
    since: datetime | None = None,
    updates: bool = True,
    tick: Progress,
) -> Replayed:
    """All facts again in a new store file, with `updates` all levels too."""
    from indexer.levels.rules import load_rules
    from indexer.live.chain.configured import tokens_of
    from indexer.live.context import archive_of
    from indexer.store.db import open_store
    from indexer.verify.replay import replay as replayed
    from indexer.workflow.work import registry_of

    registry = registry_of(settings)
    with closing(open_store(f"sqlite:///{into}")) as empty:
        empty.migrate()
        return replayed(
            store,
            empty,
            registry=registry,
            archive=archive_of(settings),
            tokens=tokens_of(settings),
            rules=load_rules(registry, folder=settings.methodology_dir),
            since=since,
            updates=updates,
            progress=tick,
        )


def _verify_proof(file: Path) -> Answer:
    """What a proof file proves, checked without any database."""
    from indexer.verify.proof import check_proof

    with progress("checking") as tick:
        verdicts = check_proof(file, progress=tick)
    headers = ("index", "published rows", "max difference", "head of the chain", "verdict")
    rows = [
        (v.index_id, v.levels, v.max_difference, v.head[:16] + "…", "holds" if v.ok else v.problem) for v in verdicts
    ]
    broken = [f"{v.index_id}: {v.problem}" for v in verdicts if not v.ok]
    text = partial(table, headers, rows, title=f"{file}: checked without a database")
    return Answer(verdicts, text, failed=_broken(broken))


def export_proof_file(file: Path) -> Answer:
    """Write a proof of every index, for `deai export --proof FILE`."""
    from indexer.levels.published import registry_for
    from indexer.verify.proof import export_proof

    with opened() as (store, settings):
        proof = export_proof(store, registry_for(store, settings), path=file)
    line = f"{proof.levels:,} levels and {proof.rates:,} rates in {proof.path}; head of the seals {proof.head}"
    return Answer(proof, line)


COMMANDS = (verify, replay)
