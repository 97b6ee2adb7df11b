"""Chainlink price feeds, believed only when they are fresh at the pinned block's own time.

Place in the flow: `checks` compares them with the index's reference rate.
"""

from __future__ import annotations

from dataclasses import dataclass

from onchain.errors import PriceRefused, ReadError
from onchain.evm.multicall import Outcome, call, read_calls
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Pool

GRACE_S = 3600  # after a roll-up's sequencer came back
SLACK = 1.5  # heartbeats may be late by half
_ROUND = ("uint80", "int256", "uint256", "uint256", "uint80")


@dataclass(frozen=True, slots=True)
class FeedPrice:
    """A feed's answer as float64 in its own unit (see `description`), with its age at the pinned block."""

    feed: str
    pin: Pin
    description: str
    price: float
    updated_at: int
    age_s: int
    round_id: int


async def read_feed(
    pool: Pool, pin: Pin, feed: str, *, heartbeat_s: int, sequencer: str = "", pair: str = ""
) -> FeedPrice:
    """The latest answer at the pinned block. `pair` is what the feed must say that it prices, e.g. "GRT / USD".

    Raises PriceRefused, naming the check, unless: answer > 0, the round is complete and not carried over, its age at
    the block's time stamp is within 1.5 heartbeats, the answer is not at the aggregator's min/max clamp, and on a
    roll-up the sequencer has been up for an hour. ReadError when it is not a feed.
    """
    asked = [
        call(feed, "latestRoundData()", returns=_ROUND),
        call(feed, "decimals()", returns="uint8"),
        call(feed, "description()", returns="string"),
        call(feed, "aggregator()", returns="address"),
    ]
    if sequencer:
        asked.append(call(sequencer, "latestRoundData()", returns=_ROUND))
    outcomes = (await read_calls(pool, pin, asked)).outcomes
    latest, digits, text, aggregator = outcomes[:4]
    if latest.error or digits.error or not isinstance(latest.value, tuple):
        raise ReadError(f"{feed} is not a price feed: {latest.error or digits.error}")
    if pair and (text.error or _letters(text.value) != _letters(pair)):
        raise PriceRefused(f"{feed} says that it prices {text.error or text.value!r}, {pair!r} is configured")
    if sequencer:
        _check_sequencer(sequencer, outcomes[4], pin)
    round_id, answer, _, updated_at, answered_in = latest.value
    _check_round(feed, latest.value, pin, heartbeat_s)
    if not aggregator.error:
        await _check_clamp(pool, pin, feed, str(aggregator.value), answer)
    return FeedPrice(
        feed=feed,
        pin=pin,
        description=str(text.value) if not text.error else "",
        price=answer / 10.0 ** digits.integer("decimals"),
        updated_at=updated_at,
        age_s=pin.timestamp - updated_at,
        round_id=max(round_id, answered_in),
    )


def _letters(text: object) -> str:
    """A pair without its spaces and case, which differ between feeds."""
    return "".join(str(text).split()).casefold()


def _check_round(feed: str, latest: tuple[int, ...], pin: Pin, heartbeat_s: int) -> None:
    round_id, answer, _, updated_at, answered_in = latest
    age = pin.timestamp - updated_at
    if answer <= 0:
        raise PriceRefused(f"{feed}: the answer is {answer}")
    if updated_at == 0:
        raise PriceRefused(f"{feed}: round {round_id} is not complete")
    if age < 0:
        raise PriceRefused(f"{feed}: updated {-age} s after the pinned block")
    if age > heartbeat_s * SLACK:
        raise PriceRefused(f"{feed}: stale, {age} s old at the pinned block, heartbeat {heartbeat_s} s")
    if answered_in < round_id:
        raise PriceRefused(f"{feed}: round {round_id} carries the answer of round {answered_in}")


async def _check_clamp(pool: Pool, pin: Pin, feed: str, aggregator: str, answer: int) -> None:
    """An answer at the aggregator's bound means the market is beyond it. Newer aggregators have no bounds."""
    asked = [call(aggregator, f"{side}Answer()", returns="int192") for side in ("min", "max")]
    low, high = (await read_calls(pool, pin, asked)).outcomes
    if isinstance(low.value, int) and isinstance(high.value, int) and not low.value < answer < high.value:
        raise PriceRefused(f"{feed}: the answer {answer} is at the aggregator's bounds {low.value}…{high.value}")


def _check_sequencer(feed: str, outcome: Outcome, pin: Pin) -> None:
    if outcome.error or not isinstance(outcome.value, tuple):
        raise PriceRefused(f"sequencer feed {feed}: {outcome.error or 'no answer'}")
    _, down, started_at, _, _ = outcome.value
    if down != 0:
        raise PriceRefused(f"sequencer feed {feed}: the roll-up's sequencer is down")
    if started_at == 0 or pin.timestamp - started_at < GRACE_S:
        raise PriceRefused(f"sequencer feed {feed}: up for {pin.timestamp - started_at} s, {GRACE_S} s are needed")
