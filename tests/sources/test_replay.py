"""An answer kept today gives the same records years later; verdicts that change become ledger entries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from fault_server import FaultServer
from fault_world import hour_world

from indexer.errors import InputError, NotFoundError
from indexer.live.exchange import replay, to_keep
from indexer.reference import FixingRate, RateStatus, Verdict, verdict_changes
from indexer.sources.base import Ask, Dataset
from indexer.sources.http import HostLimit, HttpClient
from indexer.sources.records import QualityNote
from indexer.sources.registry import build_sources
from indexer.store.archive import Archive
from indexer.times import HOUR_US, from_us, parse_instant

NOW = parse_instant("2024-06-01T12:30:00Z")


async def test_a_kept_exchange_replays_without_network_or_clock(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    server = FaultServer(hour_world(("FET",)), lambda: NOW)
    free = {"kraken": HostLimit(1e6, 1e6, "test")}
    async with server.running(), HttpClient(limits=free, clock=lambda: from_us(NOW)) as http:
        source = build_sources(base_url=server.root)["kraken"]
        ask = Ask(Dataset.BARS, ("FETUSD",), NOW - 50 * HOUR_US, NOW, NOW)
        (call,) = source.calls(ask)
        answer = await source.fetch(call, http)
        fresh = source.parse(call, answer)
        archive.put(answer.body)
        kept = orjson.dumps(to_keep(call, answer))
    again = replay(kept, archive, build_sources())
    assert fresh.bars is not None
    assert again.bars is not None
    assert len(again.bars) == 50
    np.testing.assert_array_equal(again.bars.close, fresh.bars.close)
    assert again.open_rows == fresh.open_rows == 1  # what was open then is open in the replay

    record = orjson.loads(kept)
    with pytest.raises(NotFoundError, match="is not in the archive"):
        replay(record | {"sha256": "0" * 64}, archive, build_sources())
    with pytest.raises(InputError, match=r'"krakn" is not among the sources in use\. Did you mean "kraken"\?'):
        replay(record | {"source": "krakn"}, archive, build_sources())
    with pytest.raises(InputError, match=r"the kept exchange cannot be read: KeyError\('dataset'\)"):
        replay({k: v for k, v in record.items() if k != "dataset"}, archive, build_sources())


def fixing(**verdicts: Verdict) -> FixingRate:
    prices = dict.fromkeys(verdicts, 130.0)
    return FixingRate(NOW, 100.0, RateStatus.FINAL, "m", False, 0.0, verdicts, prices, ())


def test_verdicts_open_and_close_ledger_entries() -> None:
    used, out, stale, none = Verdict.USED, Verdict.OUTLIER, Verdict.STALE, Verdict.NO_DATA
    assert verdict_changes("fet", {}, fixing(okx=used, kraken=none)) == ([], [])
    opened, closed = verdict_changes("fet", {"okx": used}, fixing(okx=out))
    assert opened == [QualityNote("outlier", "okx/fet", NOW, None, "venue 130, rate 100")]
    assert closed == []
    opened, closed = verdict_changes("fet", {"okx": out}, fixing(okx=stale))
    assert ([note.kind for note in opened], closed) == (["stale"], [("outlier", "okx/fet")])
    assert verdict_changes("fet", {"okx": stale}, fixing(okx=used)) == ([], [("stale", "okx/fet")])
