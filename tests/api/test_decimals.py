"""`?decimals=string`: every digit as text, for those who must not round; by default plain numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.answers.encode import as_decimal_text

LEVELS = "/v1/indices/deai/levels?interval=1h&last=50"


@pytest.mark.parametrize("shape", ["rows", "columns"])
def test_levels_as_text_are_the_same_numbers(client: TestClient, shape: str) -> None:
    def levels(more: str) -> list[Any]:
        data = client.get(f"{LEVELS}&shape={shape}{more}").json()["data"]
        found: list[Any] = data["level"] if shape == "columns" else [row["level"] for row in data]
        return found

    numbers, texts = levels(""), levels("&decimals=string")
    assert all(isinstance(text, str) for text in texts)
    assert [float(text) for text in texts] == numbers == levels("&decimals=number")


def test_the_newest_level_too(client: TestClient) -> None:
    plain = client.get("/v1/indices/deai/latest").json()
    exact = client.get("/v1/indices/deai/latest?decimals=string").json()
    assert float(exact["level"]) == plain["level"]
    assert float(exact["change"]["d1"]) == plain["change"]["d1"]
    assert exact["revision"] == plain["revision"]
    assert exact["time"] == plain["time"]


def test_another_word_is_refused(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/latest?decimals=text")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "query/decimals"


def test_generated_clients_keep_plain_numbers(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    parameters = document["paths"]["/v1/indices/{index_id}/levels"]["get"]["parameters"]
    assert "decimals" not in {one["name"] for one in parameters}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_text_gives_the_number_back_without_an_exponent(number: float) -> None:
    text = as_decimal_text(number)
    assert float(text) == number
    assert "e" not in text
    assert Decimal(text) == Decimal(repr(number))


def test_what_is_missing_stays_null() -> None:
    assert as_decimal_text({"a": float("nan"), "b": np.array([1.5, np.inf]), "n": 3, "t": True, "x": None}) == {
        "a": None,
        "b": ["1.5", None],
        "n": 3,
        "t": True,
        "x": None,
    }
