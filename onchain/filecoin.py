"""Filecoin's own supply statement (vested, mined, burnt, locked, circulating) and proven power at one tipset.

An epoch is exactly 30 s from genesis. Written to the documented shapes; not run against a live node here.
"""

from __future__ import annotations

from typing import Any

from onchain.errors import ReadError, malformed
from onchain.family import Family
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parsing
from onchain.tokens import Read, exact

GENESIS_S = 1_598_306_400
EPOCH_S = 30
FINALITY_EPOCHS = 900  # of the expected-consensus rule; conservative where F3 finalizes earlier
_STATEMENT = {
    "supply": ("FilVested", "FilMined"),
    "burnt": ("FilBurnt",),
    "locked": ("FilLocked",),
    "cross_check": ("FilCirculating",),
}
RESERVE = "FilReserveDisbursed"  # a part of the supply that older nodes do not name
POWER_ACTOR = "f04"
_POWER = {  # raw and quality-adjusted bytes, and miners
    "storage_power": "TotalRawBytePower",
    "quality_power": "TotalQualityAdjPower",
    "miners": "MinerAboveMinPowerCount",
}


async def _tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest tipset, which is not final yet."""
    return _pin(pool, await pool.call("Filecoin.ChainHead", on=endpoint), endpoint)


async def _block(pool: Pool, endpoint: Endpoint, epoch: int) -> Pin:
    """The tipset of an epoch; one without blocks is answered by the tipset before it."""
    pin = _pin(pool, await pool.call("Filecoin.ChainGetTipSetByHeight", (epoch, None), on=endpoint), endpoint)
    if pin.number > epoch:
        raise malformed(f"asked for epoch {epoch}, got {pin.number}", endpoint.label)
    return pin


def _pin(pool: Pool, tipset: Any, endpoint: Endpoint) -> Pin:
    with parsing("the tipset", endpoint.label):
        height, key = int(tipset["Height"]), ",".join(cid["/"] for cid in tipset["Cids"])
    return Pin(pool.chain.name, height, key, GENESIS_S + height * EPOCH_S, "final")


async def _figure(pool: Pool, endpoint: Endpoint, read: Read, pin: Pin) -> int:
    key = [{"/": cid} for cid in pin.hash.split(",")]
    if name := _POWER.get(read.what):
        actor: Any = await pool.call("Filecoin.StateReadState", (POWER_ACTOR, key), on=endpoint)
        with parsing(f"{name} of the power actor", endpoint.label):
            return exact(str(actor["State"][name]))
    if read.what not in _STATEMENT:
        raise ReadError(f"the supply statement has no {read.what}")
    statement: Any = await pool.call("Filecoin.StateVMCirculatingSupplyInternal", (key,), on=endpoint)
    with parsing("the supply statement", endpoint.label):
        amount = sum(exact(statement[name]) for name in _STATEMENT[read.what])
        return amount + (exact(statement.get(RESERVE, "0")) if read.what == "supply" else 0)


FAMILY = Family(_tip, _figure, _block, lag=FINALITY_EPOCHS)
