"""An answer kept today gives the same records years later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from fault_server import FaultServer
from fault_world import hour_world

from indexer.errors import InputError, NotFoundError
from indexer.live.audit import read_exchange, to_keep
from indexer.sources.base import Ask, Dataset
from indexer.sources.http import HostLimit, HttpClient
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
        record = orjson.loads(orjson.dumps(to_keep(call, answer)))
    _, _, again = read_exchange(record, archive, build_sources())
    assert fresh.bars is not None
    assert again.bars is not None
    assert len(again.bars) == 50
    np.testing.assert_array_equal(again.bars.close, fresh.bars.close)
    assert again.open_rows == fresh.open_rows == 1  # what was open then is open in the replay

    with pytest.raises(NotFoundError, match="is not in the archive"):
        read_exchange(record | {"sha256": "0" * 64}, archive, build_sources())
    with pytest.raises(InputError, match=r'"krakn" is not among the sources in use\. Did you mean "kraken"\?'):
        read_exchange(record | {"source": "krakn"}, archive, build_sources())
    with pytest.raises(InputError, match=r"the kept exchange cannot be read: KeyError\('dataset'\)"):
        read_exchange({k: v for k, v in record.items() if k != "dataset"}, archive, build_sources())
