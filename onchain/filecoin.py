"""Filecoin's own supply statement (vested, mined, burnt, locked, circulating) at one tipset.

Place in the flow: the Filecoin `Reader`. An epoch is exactly 30 s from genesis, so an instant needs no search. Written
to the documented shapes; not run against a live node here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from onchain.errors import Kind, PinError, RpcError
from onchain.readings import Read, Reading, exact, kept, missing, reading
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, confirmed
from onchain.rpc.pool import Pool

GENESIS_S = 1_598_306_400
EPOCH_S = 30
FINALITY_EPOCHS = 900  # of the expected-consensus rule; conservative where F3 finalizes earlier
_FIELDS = {
    "supply": ("FilVested", "FilMined", "FilReserveDisbursed"),
    "burnt": ("FilBurnt",),
    "locked": ("FilLocked",),
    "cross_check": ("FilCirculating",),
}
POWER_ACTOR = "f04"
_POWER = {
    "storage_power": "TotalRawBytePower",
    "quality_power": "TotalQualityAdjPower",
    "miners": "MinerAboveMinPowerCount",
}


async def tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest tipset of one endpoint, which is not final yet."""
    head: Any = await pool.call("Filecoin.ChainHead", on=endpoint)
    try:
        height = int(head["Height"])
    except (KeyError, TypeError, ValueError) as error:
        text = f"the chain head does not parse ({error!r})"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None
    return Pin(pool.chain.name, height, "", GENESIS_S + height * EPOCH_S, "latest")


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every `Read` (supply, burnt, locked, cross_check = circulating; storage_power, quality_power in bytes, miners) at
    the last final tipset at or before `at`."""
    final = (int(pool.wall()) - GENESIS_S) // EPOCH_S - FINALITY_EPOCHS
    epoch = final if at is None else (at - GENESIS_S) // EPOCH_S
    if epoch > final:
        raise PinError(f"{pool.chain.name}: epoch {epoch} is not final yet (final: {final})")

    async def ask(endpoint: Endpoint) -> tuple[Pin, dict[str, int]]:
        tipset: Any = await pool.call("Filecoin.ChainGetTipSetByHeight", (epoch, None), on=endpoint)
        try:
            cids, height = tipset["Cids"], int(tipset["Height"])
            key = ",".join(cid["/"] for cid in cids)
            supply: Any = await pool.call("Filecoin.StateVMCirculatingSupplyInternal", (cids,), on=endpoint)
            figures = {name: exact(supply[name]) for names in _FIELDS.values() for name in names if name in supply}
        except (KeyError, TypeError, ValueError) as error:
            raise RpcError(
                f"the supply statement does not parse ({error!r})", kind=Kind.MALFORMED, endpoint=endpoint.label
            ) from None
        if height > epoch:  # an epoch without blocks is answered by the one before it
            text = f"asked for epoch {epoch}, got {height}"
            raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label)
        pin = Pin(pool.chain.name, height, key, GENESIS_S + height * EPOCH_S, "final")
        return pin, figures

    (pin, figures), agreed = await confirmed(pool, ask, what=f"supply at epoch {epoch}", count=confirm)
    readings = {}
    for r in reads:
        if r.what in _POWER:
            readings[r] = await kept(r, partial(_power, pool, _POWER[r.what], pin=pin, confirm=confirm), pin)
            continue
        names = _FIELDS.get(r.what, ())
        lacking = [name for name in names if name not in figures and name != "FilReserveDisbursed"]
        if not names or lacking:
            readings[r] = missing(r, f"the supply statement has no {', '.join(lacking) or r.what}", pin)
        else:
            readings[r] = reading(r, sum(figures.get(name, 0) for name in names), pin, agreed)
    return readings


async def _power(pool: Pool, name: str, *, pin: Pin, confirm: int) -> tuple[int, tuple[str, ...]]:
    """A figure of the power actor's state at a tipset."""
    key = [{"/": cid} for cid in pin.hash.split(",")]

    async def ask(endpoint: Endpoint) -> int:
        actor: Any = await pool.call("Filecoin.StateReadState", (POWER_ACTOR, key), on=endpoint)
        try:
            return exact(str(actor["State"][name]))
        except (KeyError, TypeError, ValueError) as error:
            text = f"the power actor's state has no {name} ({error!r})"
            raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None

    return await confirmed(pool, ask, what=f"{name} at epoch {pin.number}", count=confirm)
