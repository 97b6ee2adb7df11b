"""Many pieces of pure work, in this process or by `dask.distributed`: the same results in the same order."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeVar

from indexer.errors import ConfigError, InputError, StoreError

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]
PAYS_S: Final = 10.0  # of work left that a cluster of one's own is begun for: its processes take 2 to 4 s to be ready
REACHED_S: Final = 5
EXTRA: Final = "pip install 'deai-index[cluster]'"


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def run_wide(
    work: Callable[[T], R],
    pieces: Sequence[T],
    *,
    cluster: str = "",
    workers: int | None = None,
    progress: Progress = quiet,
) -> list[R]:
    """The result of each piece, in their order, whoever computed it.

    By the `cluster` at that address where one is named; else by so many processes on this machine. Without a number:
    one for each core if more than PAYS_S of work is left after the first piece and the extra is installed. `work` and
    pieces are pickled; a piece whose worker dies is done by another one. Ctrl-C cancels what is left.
    Raises what a piece raises, InputError for a cluster that is not there or that computes other numbers.
    """
    total, began = len(pieces), time.monotonic()
    first = [work(piece) for piece in pieces[:1]]
    progress(len(first), total)
    left_s = (time.monotonic() - began) * (total - 1)
    if not cluster and workers is None:
        workers = os.cpu_count() or 1 if left_s > PAYS_S and find_spec("distributed") else 1
    if not cluster and (workers == 1 or total < 3):
        for piece in pieces[1:]:
            first.append(work(piece))
            progress(len(first), total)
        return first
    with _client(cluster, workers=min(workers or 1, total)) as client:
        results = _spread(client, work, pieces, progress=progress)
    if repr(results[:1]) != repr(first):
        raise InputError(
            f"the cluster {cluster or 'of this machine'} computes other numbers; give it the versions of this program"
        )
    return results


def _spread(client: Client, work: Callable[[T], R], pieces: Sequence[T], *, progress: Progress) -> list[R]:
    from distributed import KilledWorker, as_completed

    shared = client.submit(_same, work, pure=False)  # a task, so that it is made anew where its worker died
    futures = client.map(_apply, [shared] * len(pieces), pieces, pure=False)
    place = {future.key: number for number, future in enumerate(futures)}
    results: dict[int, R] = {}
    try:
        for future, result in as_completed(futures, with_results=True):
            results[place[future.key]] = result
            progress(len(results), len(pieces))
    except KilledWorker as cause:
        raise StoreError(f"a piece of work ended each worker that took it, for want of memory? ({cause})") from None
    finally:
        client.cancel([future for future in futures if not future.done()])
    return [results[number] for number in range(len(pieces))]


def _same(work: T) -> T:
    return work


def _apply(work: Callable[[T], R], piece: T) -> R:
    return work(piece)


@contextmanager
def _client(address: str, *, workers: int) -> Iterator[Client]:
    """The cluster at an address, else one of so many processes on this machine, gone at the end."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ConfigError(f"work on several processes needs an extra: {EXTRA}; or give --workers 1") from None
    large = {"distributed.admin.large-graph-warning-threshold": "1GB"}  # years of hours are sent once, on purpose
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(large))
        local = None if address else stack.enter_context(LocalCluster(workers, **options))
        try:
            client = Client(local or address, timeout=REACHED_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as cause:
            raise InputError(
                f"no cluster at {address or 'this machine'} ({cause}); start one by `dask scheduler`"
            ) from None
        stack.enter_context(client)
        stack.enter_context(client.as_current())
        yield client
