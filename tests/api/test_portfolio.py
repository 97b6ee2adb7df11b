"""Holdings over HTTP and on their page: answered, kept nowhere, bounded; on exact levels index shares are the index."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from seeded import SLUGS, UNITS

from api.answers.schemas import of_index
from indexer.store.db import Store
from indexer.studies.beta import index_beta
from indexer.studies.portfolio import PortfolioStudy

SHARES = "\n".join(f"{slug},{units}" for slug, units in zip(SLUGS, UNITS, strict=True))


def test_index_shares_have_the_index_s_returns_and_beta(client: TestClient, store: Store) -> None:
    answer = client.post("/v1/portfolio?since=2024-01-01", content=f"coin,amount\n{SHARES}\nXYZ,1")
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    of_index(PortfolioStudy).model_validate(body)
    assert (body["index"], body["simulated"], body["title"]) == ("deai", False, "holdings as of 2024-01-01T00:00:00Z")
    assert [row["symbol"] for row in body["unpriced"]] == ["XYZ"]
    levels = [point["level"] for point in body["path"]]
    values = [point["value"] for point in body["path"]]
    assert len(levels) > 250
    assert [value / values[0] for value in values] == pytest.approx([level / levels[0] for level in levels], rel=1e-9)
    to_qqq = next(beta for beta in body["betas"] if beta["benchmark"] == "QQQ")
    mine = index_beta(store, "deai", "QQQ", sessions=to_qqq["n"]).estimate
    assert (to_qqq["beta"], to_qqq["se"], to_qqq["r2"]) == pytest.approx((mine.beta, mine.se, mine.r2), abs=1e-9)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"nonsense", 422, "invalid_input"),
        (b"\xff\xfe\x00", 422, "invalid_input"),
        (b"[" * 60_000, 422, "invalid_input"),
        (b"XYZ 1", 409, "not_enough_data"),
        (b"x" * 70_000, 413, "body_too_large"),
    ],
)
def test_a_body_that_holds_nothing_is_refused(client: TestClient, body: bytes, status: int, code: str) -> None:
    answer = client.post("/v1/portfolio", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_page_answers_a_form_without_scripts(client: TestClient) -> None:
    assert "Paste your holdings" in client.get("/portfolio").text
    page = client.post("/portfolio", data={"holdings": "ALP 12.5\n<b>X 1", "index": "demo"})
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert "&lt;b&gt;X is no token" in page.text and "<b>X" not in page.text and "in tokens of the index" in page.text
    assert "Every price here is invented" in page.text
    wrong = client.post("/portfolio", data={"holdings": "ALP much"})
    assert wrong.status_code == 422 and 'role="alert"' in wrong.text and "ALP much" in wrong.text
