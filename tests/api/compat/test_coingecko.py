"""The CoinGecko shape as its real clients read it: `coingecko-sdk` (CoinGecko's own) and `pycoingecko`."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from coingecko_sdk import BadRequestError, Coingecko, NotFoundError, UnprocessableEntityError
from live_server import Live, serve
from pycoingecko import CoinGeckoAPI
from seeded import HOURS, NOW, START, UNITS, latent

from api.app import create_app
from indexer.store.db import Store

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@pytest.fixture(scope="module")
def sdk(live: Live) -> Coingecko:
    return Coingecko(base_url=f"{live.url}/api/v3", pro_api_key="not-a-key", max_retries=0)


@pytest.fixture(scope="module")
def pycoingecko(live: Live) -> CoinGeckoAPI:
    client = CoinGeckoAPI()
    client.api_base_url = f"{live.url}/api/v3/"
    return client


@pytest.fixture(scope="module")
def hourly() -> np.ndarray:
    """The hourly levels of the seeded index, from its prices."""
    _, prices = latent()
    levels: np.ndarray = 1000.0 * (prices @ UNITS) / UNITS.sum()
    return levels


def test_an_index_is_a_coin(sdk: Coingecko, hourly: np.ndarray) -> None:
    assert sdk.ping.get().gecko_says
    assert {(coin.id, coin.name) for coin in sdk.coins.list.get()} >= {
        ("deai", "deai index"),
        ("demo", "demo index (simulated)"),
    }
    coin = sdk.coins.get_id("deai", localization=False, tickers=False)
    assert coin.market_data.current_price == {"usd": hourly[-1]}
    change = coin.market_data.price_change_percentage_7d
    assert change == pytest.approx(100 * (hourly[-1] / hourly[-1 - 7 * 24] - 1), rel=1e-12)


def test_the_price_is_the_newest_level(sdk: Coingecko, pycoingecko: CoinGeckoAPI, hourly: np.ndarray) -> None:
    priced = sdk.simple.price.get(ids="deai,empty,nothing", vs_currencies="usd,eur", include_24hr_change=True)
    assert list(priced) == ["deai"]  # as CoinGecko does: what has no price is left out
    assert priced["deai"].usd == hourly[-1]
    assert priced["deai"].usd_24h_change == pytest.approx(100 * (hourly[-1] / hourly[-25] - 1), rel=1e-12)
    assert priced["deai"].last_updated_at == START / 1e6 + HOURS * 3600
    assert priced["deai"].usd_market_cap is None
    assert pycoingecko.get_price("deai", "usd", precision="2")["deai"]["usd"] == round(hourly[-1], 2)


@pytest.mark.parametrize(("days", "step", "count"), [("7", 1, 7 * 24 + 1), ("90", 1, 90 * 24 + 1), ("91", 24, 92)])
def test_a_chart_is_hourly_up_to_ninety_days_and_daily_beyond(
    sdk: Coingecko, hourly: np.ndarray, days: str, step: int, count: int
) -> None:
    chart = sdk.coins.market_chart.get("deai", vs_currency="usd", days=days)
    times, prices = zip(*chart.prices, strict=True)
    assert prices == tuple(hourly[::step][-count:].tolist())
    assert np.diff(times).tolist() == [step * HOUR_MS] * (count - 1)
    assert times[-1] == START / 1000 + HOURS * HOUR_MS
    assert chart.market_caps == chart.total_volumes == [[time, None] for time in times]


def test_both_clients_read_the_whole_history(sdk: Coingecko, pycoingecko: CoinGeckoAPI, hourly: np.ndarray) -> None:
    whole = pycoingecko.get_coin_market_chart_by_id("deai", vs_currency="usd", days="max")
    assert [price for _, price in whole["prices"]] == hourly[::24].tolist()
    some = pycoingecko.get_coin_market_chart_range_by_id(
        "deai", "usd", from_timestamp=1_704_067_200, to_timestamp=1_704_074_400
    )
    assert [price for _, price in some["prices"]] == hourly[:3].tolist()  # both ends are in
    same = sdk.coins.market_chart.get_range("deai", vs_currency="usd", from_="2024-01-01T00:00", to="2024-01-01T02:00")
    assert same.prices == some["prices"]


def test_candles_are_stamped_with_their_end(sdk: Coingecko, hourly: np.ndarray) -> None:
    bars = sdk.coins.ohlc.get("deai", vs_currency="usd", days="30")
    assert len(bars) == 30 * 6
    time, first, high, low, last = bars[-1]
    inside = hourly[-5:]
    assert (first, high, low, last) == (inside[0], inside.max(), inside.min(), inside[-1])
    assert time == NOW.timestamp() // 3600 * HOUR_MS
    daily = sdk.coins.ohlc.get("deai", vs_currency="usd", days="30", interval="daily")
    assert np.diff([bar[0] for bar in daily]).tolist() == [DAY_MS] * 29


def test_refusals_have_the_shape_that_clients_read(sdk: Coingecko, pycoingecko: CoinGeckoAPI, live: Live) -> None:
    with pytest.raises(NotFoundError, match="No index"):
        sdk.coins.get_id("bitcoin")
    with pytest.raises(ValueError, match="no levels yet"):
        pycoingecko.get_coin_ohlc_by_id("empty", vs_currency="usd", days="7")
    with pytest.raises((BadRequestError, UnprocessableEntityError), match="usd only"):
        sdk.coins.market_chart.get("deai", vs_currency="eur", days="7")
    answer = httpx.get(f"{live.url}/api/v3/coins/deai/market_chart?vs_currency=usd&days=-1")
    assert list(answer.json()) == ["error"]


def test_any_page_may_read_it_and_the_cache_keeps_it(store: Store) -> None:
    app = create_app(store, clock=lambda: NOW)
    app.state.services.refresh()  # from here on answers are kept
    with serve(app) as running:
        address = f"{running.url}/api/v3/coins/deai/market_chart?vs_currency=usd&days=7"
        first, again = httpx.get(address), httpx.get(f"{address}&_=1764496800", headers={"Origin": "https://a.example"})
    assert again.headers["access-control-allow-origin"] == "*"
    assert first.headers["etag"] == again.headers["etag"]
    kept = [key[1] for key in app.state.services.cache.answers if key[0] == b"/api/v3/coins/deai/market_chart"]
    assert kept == [b"vs_currency=usd&days=7"]
