"""Other rules on a page: computed for the owner or a key, one at a time, equal to `deai backtest` bit for bit."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.middleware.keys import Scope
from api.web.what_if import changed
from indexer.arrays import to_json
from indexer.backtest.design import run_backtests
from indexer.methodology.load import shipped
from indexer.times import parse_instant

sys.path.append(str(Path(__file__).parents[1] / "administration"))
from worlds import World, settings_of, world

RULES = {"index": "small", "scheme": "equal", "target": 4, "single": 0.3, "start": "2024-02-01T00:00:00Z"}
RULES |= {"end": "2024-03-20", "without": ["token-1", "token-3"]}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = world(tmp_path_factory.mktemp("what-if"))
    made.fill()
    made.update()
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def client(small: World) -> Iterator[TestClient]:
    app = create_app(small.store, settings=settings_of(small), clock=lambda: small.now)
    yield TestClient(app)
    app.state.services.backtests.close()


@pytest.fixture(scope="module")
def key(small: World, client: TestClient) -> dict[str, str]:
    _, text = client.app.state.services.keys.create("analyst", (Scope.READ,), now=small.now)  # type: ignore[attr-defined]
    return {"x-api-key": text}


def test_the_page_computes_what_the_command_line_does(
    client: TestClient, key: dict[str, str], small: World, tmp_path: Path
) -> None:
    answer = client.post("/what-if", json=RULES, headers=key)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    rules = tomllib.loads(body["toml"])
    assert (rules["universe"]["exclude"], rules["weighting"]["scheme"]) == (["token-1", "token-3"], "equal")
    assert (rules["caps"], rules["selection"]["target"]) == ({"single": 0.3}, 4)
    file, out = tmp_path / "what-if.toml", tmp_path / "levels.parquet"
    file.write_text(body["toml"], encoding="utf-8")
    end_us = parse_instant(str(RULES["end"]))
    [result] = run_backtests(small.store, settings_of(small), files=[file], end_us=end_us, out=out)
    assert body["result"] == to_json(result)
    assert body["level"] == pyarrow.parquet.read_table(out).column("level").to_pylist()
    assert (body["time"][0], body["time"][-1]) == ("2024-02-01T00:00:00Z", "2024-03-20T00:00:00Z")
    assert body["result"]["beta_to_flagship"] is not None


def test_rules_that_cannot_hold_are_refused_with_the_reason(client: TestClient, key: dict[str, str]) -> None:
    refused = client.post("/what-if", json={**RULES, "single": 0.1}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert "caps.single: 4 members (selection.target) can hold at most 0.4 together" in refused.json()["detail"]
    for wrong in ({"schema": "equal"}, {"end": 1_711_000_000}, {"end": "tomorrow"}):
        assert client.post("/what-if", json={**RULES, **wrong}, headers=key).status_code == 422


def test_nobody_else_has_it_computed_and_nobody_waits_behind_another(client: TestClient, key: dict[str, str]) -> None:
    assert client.post("/what-if", json=RULES).status_code == 401
    backtests = client.app.state.services.backtests  # type: ignore[attr-defined]
    with backtests.turn():
        busy = client.post("/what-if", json=RULES, headers=key)
    assert (busy.status_code, busy.json()["code"]) == (503, "busy")


def test_a_file_keeps_its_comments_and_what_was_not_asked_for() -> None:
    from api.web.what_if import Changes

    rules = shipped()["deai"]
    same = Changes(scheme="free_float_cap", target=20, single=0.20, group=0.40)
    text = changed(rules, same)
    before, after = tomllib.loads(rules.text), tomllib.loads(text)
    assert "# a week" in text.casefold()
    assert {name for name in before if before[name] != after[name]} == {"id", "name", "reason"}
    other = tomllib.loads(changed(rules, Changes(scheme="sqrt_cap", target=10)))
    assert other["caps"] == {"relax": True}
    assert other["selection"] == {"target": 10, "entry_rank": 8, "exit_rank": 12, "min_constituents": 5}
