"""web3 over the pool: every call of an `AsyncWeb3` has a pinned block, a quorum, a budget and a proof.

`web3("ethereum")` gives one whose contract objects read at one settled block. Reads that are awaited together travel
together: the provider hands them to `multicall`. web3 loads only when this module is imported.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from hexbytes import HexBytes
from web3 import AsyncWeb3
from web3._utils.error_formatters_utils import raise_contract_logic_error_on_revert
from web3.eth import AsyncEth
from web3.main import get_async_default_modules
from web3.providers.async_base import AsyncBaseProvider
from web3.types import BlockIdentifier, StateOverride, TxParams

from onchain.chains import Chain, instant_s, load_chains
from onchain.errors import ChainConfigError, Kind, ReadError, RpcError
from onchain.evm.logs import Checkpoint, LogScan
from onchain.evm.multicall import REVERTED, Call, Outcome, decode_output, hex_bytes, read_calls, selector
from onchain.rpc.pin import Pin, Pinner, at_pin, confirmed, parse_header
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import digest

# What reads the state of a block, with the place of the block among its parameters.
STATE = {
    "eth_call": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
}
BY_HASH = frozenset({"eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getBlockByHash"})
KEPT_READINGS = 20_000
# `validation` sends eth_chainId twice before every call, the others send requests of their own.
_REMOVED = ("validation", "gas_price_strategy", "gas_estimate", "ens_name_to_address")


class PinnedWeb3(AsyncWeb3["PinnedProvider"]):
    """An AsyncWeb3 over a `PinnedProvider`, to be used as `async with onchain.web3("ethereum") as w3`."""

    provider: PinnedProvider

    def __init__(self, provider: PinnedProvider) -> None:
        super().__init__(provider, modules={**get_async_default_modules(), "eth": PinnedEth})
        for name in _REMOVED:
            if name in self.middleware_onion:
                self.middleware_onion.remove(name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.provider.disconnect()


class PinnedEth(AsyncEth):
    """web3's `eth`, whose plain contract reads skip the formatters: they take longer than the read itself."""

    w3: PinnedWeb3

    async def _call(
        self,
        transaction: TxParams,
        block_identifier: BlockIdentifier | None = None,
        state_override: StateOverride | None = None,
    ) -> HexBytes:
        """The data that a call returns: {to, data} in hex at the pin is read by the provider at once."""
        latest = self.default_block if block_identifier is None else block_identifier
        plain = transaction.keys() == {"to", "data"} and all(isinstance(text, str) for text in transaction.values())
        if not plain or latest != "latest" or state_override or self.default_account:
            return await super()._call(transaction, block_identifier, state_override)
        params = [transaction, latest]
        answer = await self.w3.provider.make_request("eth_call", params)
        if "result" in answer:
            return HexBytes(answer["result"])
        return HexBytes(self.w3.manager.formatted_response(answer, params, raise_contract_logic_error_on_revert))


def web3(
    chain: str,
    *,
    at: datetime | None = None,
    confirm: int = 2,
    max_requests: int | None = None,
    chains: Mapping[str, Chain] | None = None,
    own_endpoints: Mapping[str, Sequence[str]] | None = None,
) -> PinnedWeb3:
    """An `AsyncWeb3` on an EVM chain, reading at the last block at or before the aware instant `at`, or the newest.

    `confirm` endpoints must answer alike; `max_requests` bounds what is sent. `w3.provider.proof()` says where every
    answer is from. What a contract refuses is web3's ContractLogicError; what nodes fail at is an OnchainError.
    Raises ChainConfigError for a chain that is unknown or not EVM, and for a naive instant.
    """
    known = load_chains(own_endpoints=own_endpoints) if chains is None else chains
    if chain not in known or known[chain].family != "evm":
        names = ", ".join(sorted(name for name, entry in known.items() if entry.family == "evm"))
        raise ChainConfigError(f'web3 speaks to EVM chains, "{chain}" is none of {names}')
    instant = instant_s(at)
    return PinnedWeb3(PinnedProvider(Pool(known[chain], confirm=confirm, max_requests=max_requests), at=instant))


@dataclass(frozen=True, slots=True)
class Provenance:
    """One answer and where it is from: the block it was read at (None: of no block) and who gave it alike."""

    method: str
    params: object
    result: object
    pin: Pin | None
    agreed: tuple[str, ...]


class PinnedProvider(AsyncBaseProvider):
    """Requests of web3 answered by a quorum of the pool's endpoints at one block.

    "latest" and a block not named mean the pin, taken at the first request and kept until `repin`; numbers and hashes
    are pinned by the quorum too. Transactions, receipts and blocks must be alike on the endpoints asked. What has no
    one answer (gas prices, pending state, sending) is asked of one endpoint, and its provenance names just this one.
    """

    def __init__(self, pool: Pool, *, at: int | None = None) -> None:
        super().__init__()
        self.pool = pool
        self.readings: deque[Provenance] = deque(maxlen=KEPT_READINGS)
        self._pinner, self._instant = Pinner(pool), at
        self._pin: Pin | None = None
        self._pinning = asyncio.Lock()
        self._waiting: dict[Pin, list[tuple[Call, asyncio.Future[tuple[Outcome, tuple[str, ...]]]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def pinned(self) -> Pin:
        """The block at which everything is read. Raises PinError."""
        async with self._pinning:
            if self._pin is None:
                self._pin = await self._pinner.settled(self._instant)
            return self._pin

    async def repin(self) -> Pin:
        """Read from now on at the newest settled block."""
        self._pin = self._instant = None
        return await self.pinned()

    def proof(self) -> dict[str, object]:
        """Plain data: every answer with its block and the endpoints that agreed, every request with its hashes.

        `digest` is sha256 over the rest.
        """
        body: dict[str, object] = {
            "chain": self.pool.chain.name,
            "readings": [asdict(reading) for reading in self.readings],
            "calls": [asdict(record) for record in self.pool.records],
        }
        return {**body, "digest": digest(body)}

    async def is_connected(self, show_traceback: bool = False) -> bool:
        """Whether a quorum gives a block."""
        await self.pinned()
        return True

    async def disconnect(self) -> None:
        """Close the pool's connections."""
        await self.pool.__aexit__()

    async def make_request(self, method: Any, params: Any) -> Any:
        """web3's way in: the JSON-RPC answer of one request; a revert as its error, other failures raised."""
        try:
            result, pin, agreed = await self._answer(method, list(params or ()))
        except RpcError as error:
            if error.kind is not Kind.REVERT:
                raise
            refusal = {"code": error.node_code or 3, "message": error.message, "data": error.data}
            return {"jsonrpc": "2.0", "id": 1, "error": refusal}
        self.readings.append(Provenance(method, params, result, pin, agreed))
        return {"jsonrpc": "2.0", "id": 1, "result": result}

    # -- inside -------------------------------------------------------------------------------------------

    async def _answer(self, method: str, params: list[Any]) -> tuple[object, Pin | None, tuple[str, ...]]:
        place = STATE.get(method)
        if place is not None and params[place : place + 1] != ["pending"]:
            pin = await self._pin_of(params[place] if len(params) > place else "latest")
            return await self._state(method, params[:place], params[place + 1 :], pin)
        if method == "eth_getBlockByNumber" and params[0] != "pending":
            return await self._block(await self._pin_of(params[0]), full=bool(params[1]))
        if method == "eth_blockNumber":
            pin = await self.pinned()
            return hex(pin.number), pin, pin.agreed
        if method == "eth_getLogs":
            return await self._logs(params[0])
        if method in BY_HASH:
            result, agreed = await self._alike(method, params)
            return result, None, agreed
        return await self._alone(method, params)

    async def _pin_of(self, block: object) -> Pin:
        """The pinned block that a block parameter names."""
        pin = await self.pinned()
        if isinstance(block, dict):
            block = block.get("blockHash") or block.get("blockNumber")
        if block in (None, "latest", pin.hash):
            return pin
        if block in ("safe", "finalized"):
            return await self._pinner.head(str(block))
        if isinstance(block, str) and len(block) == 66:
            header = parse_header((await self._alike("eth_getBlockByHash", [block, False]))[0])
            return await self._pinner.block(header.number, pin.finality)
        number = 0 if block == "earliest" else int(str(block), 16)
        return pin if number == pin.number else await self._pinner.block(number, pin.finality)

    async def _state(
        self, method: str, before: list[Any], after: list[Any], pin: Pin
    ) -> tuple[object, Pin, tuple[str, ...]]:
        if method == "eth_call" and not after and before[0].keys() <= {"to", "data"} and before[0].get("to"):
            outcome, agreed = await self._together(pin, before[0])
            if outcome.error == REVERTED:
                raise RpcError(_reason(outcome.raw), kind=Kind.REVERT, node_code=3, data="0x" + outcome.raw.hex())
            if outcome.error:
                raise ReadError(f"call of {before[0]['to']}: {outcome.error}")
            return "0x" + outcome.raw.hex(), pin, agreed
        result, agreed = await confirmed(
            self.pool,
            lambda e: at_pin(self.pool, e, method, before=tuple(before), pin=pin, after=tuple(after)),
            what=f"{method} at block {pin.number}",
            count=self.pool.confirm,
        )
        return result, pin, agreed

    async def _together(self, pin: Pin, transaction: Mapping[str, str]) -> tuple[Outcome, tuple[str, ...]]:
        """One contract read, in one request with all that wait for the same block."""
        data = hex_bytes(transaction.get("data") or "0x", self.pool.endpoints[0])
        answer: asyncio.Future[tuple[Outcome, tuple[str, ...]]] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(pin, [])
        waiting.append((Call(transaction["to"], data, None, "eth_call"), answer))
        if len(waiting) == 1:
            task = asyncio.create_task(self._read_waiting(pin))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _read_waiting(self, pin: Pin) -> None:
        await asyncio.sleep(0)  # what was started together with the first joins it
        waiting = self._waiting.pop(pin)
        try:
            readout = await read_calls(self.pool, pin, [asked for asked, _ in waiting])
        except BaseException as error:
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, answer), outcome in zip(waiting, readout.outcomes, strict=True):
            if not answer.done():
                answer.set_result((outcome, readout.agreed))

    async def _block(self, pin: Pin, *, full: bool) -> tuple[object, Pin, tuple[str, ...]]:
        result, agreed = await self._alike("eth_getBlockByHash", [pin.hash, full])
        return result, pin, agreed

    async def _logs(self, asked: Mapping[str, Any]) -> tuple[object, Pin, tuple[str, ...]]:
        """All logs of a filter, however many ranges the endpoints need, each range compared on two of them."""
        last = await self._pin_of(asked.get("blockHash") or asked.get("toBlock", "latest"))
        first = last if "blockHash" in asked else await self._pin_of(asked.get("fromBlock", "latest"))
        address = asked.get("address", [])
        scan = LogScan(
            self.pool,
            addresses=[address] if isinstance(address, str) else address,
            topics=asked.get("topics", []),
            upto=last,
            checkpoint=Checkpoint(first.number),
        )
        return await scan.logs(), last, last.agreed

    async def _alike(self, method: str, params: list[Any]) -> tuple[object, tuple[str, ...]]:
        return await confirmed(
            self.pool,
            lambda e: self.pool.call(method, params, on=e, null_ok=True),
            what=method,
            count=self.pool.confirm,
            same=alike,
        )

    async def _alone(self, method: str, params: list[Any]) -> tuple[object, None, tuple[str, ...]]:
        async def ask(endpoint: Endpoint) -> tuple[object, Endpoint]:
            return await self.pool.call(method, params, on=endpoint, null_ok=True), endpoint

        result, endpoint = await self.pool.on_any(ask, what=method)
        return result, None, (endpoint.label,)


def _reason(data: bytes) -> str:
    """What a node would say of a revert: with the contract's own words where it gave some."""
    words = ""
    if data.startswith(selector("Error(string)")):
        with suppress(ReadError):
            words = f": {decode_output(data[4:], ('string',))}"
    return f"execution reverted{words}"


def alike(first: object, second: object) -> bool:
    """Whether two answers are the same in all that both state: clients add fields of their own to blocks."""
    if isinstance(first, dict) and isinstance(second, dict):
        return all(alike(first[key], second[key]) for key in first.keys() & second.keys())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(alike(a, b) for a, b in zip(first, second, strict=True))
    return first == second
