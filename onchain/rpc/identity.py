"""Is this endpoint the chain it is configured for? Asked once per endpoint, before anything is believed.

Place in the flow: called by `rpc.Pool.ready`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from eth_utils.crypto import keccak

from onchain.cbor import decode
from onchain.chains import Chain
from onchain.errors import Kind, RpcError
from onchain.rpc.endpoint import Endpoint

MULTICALL3_CODE_HASH = "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891"


class Asked(Protocol):
    """What is needed of a pool here: single endpoints asked, before they are trusted."""

    chain: Chain

    async def send(self, endpoint: Endpoint, method: str, params: Sequence[Any]) -> object: ...
    async def batch(
        self, requests: Sequence[tuple[str, Sequence[Any]]], *, on: Endpoint
    ) -> list[object | RpcError]: ...
    async def fetch(self, endpoint: Endpoint, path: str) -> tuple[object, Mapping[str, str]]: ...
    async def get_bytes(self, path: str, *, on: Endpoint) -> bytes: ...


async def identify(pool: Asked, endpoint: Endpoint) -> None:
    """Ask for the chain's identity and compare it with the configured one. Raises RpcError(MALFORMED) and bans.

    EVM endpoints are asked for the Multicall3 code in the same HTTP request where they take batches.
    """
    chain = pool.chain
    if chain.family == "evm":
        found = await _evm(pool, endpoint)
    elif chain.family == "cosmos":
        body, _ = await pool.fetch(endpoint, "/cosmos/base/tendermint/v1beta1/node_info")
        found = str(_dig(body, "default_node_info", "network"))
    elif chain.family == "arweave":
        body, _ = await pool.fetch(endpoint, "/info")
        found = str(_dig(body, "network"))
    elif chain.identity_method:
        answer = await pool.send(endpoint, chain.identity_method, chain.identity_params)
        found = str(answer.get("chain_id") if isinstance(answer, dict) else answer)
    elif chain.family == "icp" and chain.identity:
        found = await _root_key(pool, endpoint)
    else:
        return
    if chain.identity and found.lower() not in chain.identity.lower().split("|"):
        endpoint.banned = f"serves chain {found}, not {chain.name} ({chain.identity})"
        raise RpcError(endpoint.banned, kind=Kind.MALFORMED, endpoint=endpoint.label)


async def _evm(pool: Asked, endpoint: Endpoint) -> str:
    asked = [("eth_chainId", ()), ("eth_getCode", (pool.chain.multicall, "latest"))]
    try:
        chain_id, code = await pool.batch(asked, on=endpoint)
        endpoint.batches = True
    except RpcError as error:
        if error.kind not in {Kind.MALFORMED, Kind.REJECTED, Kind.NO_METHOD, Kind.UNKNOWN}:
            raise
        endpoint.batches = False
        endpoint.failures = 0  # refusing batches is allowed
        chain_id = await pool.send(endpoint, "eth_chainId", ())
        code = await pool.send(endpoint, "eth_getCode", (pool.chain.multicall, "latest"))
    if isinstance(chain_id, RpcError):
        raise chain_id
    if isinstance(code, str) and code.startswith("0x"):
        try:
            raw = bytes.fromhex(code[2:])
        except ValueError:
            text = f"the code {code[:20]!r} is not hex data"
            raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None
        endpoint.canonical_multicall = keccak(raw).hex() == MULTICALL3_CODE_HASH
    return str(chain_id)


async def _root_key(pool: Asked, endpoint: Endpoint) -> str:
    """The first half of the sha256 of the network's root key, as chain-agnostic identifiers name it."""
    status = decode(await pool.get_bytes("/api/v2/status", on=endpoint))
    key = _dig(status, "root_key")
    if not isinstance(key, bytes):
        raise RpcError("the root key is not bytes", kind=Kind.MALFORMED, endpoint=endpoint.label)
    return hashlib.sha256(key).hexdigest()[:32]


def _dig(body: object, *keys: str) -> object:
    for key in keys:
        if not isinstance(body, dict) or key not in body:
            raise RpcError(f'the answer has no "{key}"', kind=Kind.MALFORMED)
        body = body[key]
    return body
