"""web3 contracts, ABI and ENS helpers over the pool: its fail-over, limits and records, without its hidden requests.

Place in the flow: convenience for rare reads and for signing callers; the hot path goes through `multicall`. web3
loads only when this is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onchain.errors import AllEndpointsFailed, RpcError
from onchain.rpc.pool import Pool

if TYPE_CHECKING:
    from web3 import AsyncWeb3

# `validation` sends eth_chainId twice before every call, the others add requests or resolve names on their own;
# the pool has checked the chain once already.
_REMOVED = ("validation", "gas_price_strategy", "gas_estimate", "ens_name_to_address")


def web3_over(pool: Pool) -> AsyncWeb3[Any]:
    """An AsyncWeb3 whose requests go through `pool`: one request a call. Node errors come as web3's own."""
    from web3 import AsyncWeb3
    from web3.providers.async_base import AsyncJSONBaseProvider

    class PoolProvider(AsyncJSONBaseProvider):
        async def make_request(self, method: Any, params: Any) -> Any:
            head = {"jsonrpc": "2.0", "id": 1}
            try:
                return {**head, "result": await pool.call(method, params, null_ok=True)}
            except (RpcError, AllEndpointsFailed) as error:
                first = error.errors[0] if isinstance(error, AllEndpointsFailed) and error.errors else error
                code = getattr(first, "node_code", None)
                data = getattr(first, "data", None)
                return {**head, "error": {"code": code or -32000, "message": str(error), "data": data}}

        async def is_connected(self, show_traceback: bool = False) -> bool:
            return bool(pool.endpoints)

    w3 = AsyncWeb3(PoolProvider())
    for name in _REMOVED:
        if name in w3.middleware_onion:
            w3.middleware_onion.remove(name)
    return w3
