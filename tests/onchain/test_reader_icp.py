"""The Internet Computer, read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b32encode

import cbor2
import pytest
from aiohttp import web
from nonevm import LEDGER, NOW, icp_node, pool

from onchain import icp
from onchain.chains import Chain
from onchain.errors import AllEndpointsFailed, ReadError, RpcError
from onchain.health import check_endpoints
from onchain.rpc.wire import parse_cbor


async def test_icp_ledger_supply_by_canister_query(serve) -> None:
    async with pool("icp", await serve(icp_node())) as p:
        got = await icp.FAMILY.read(p, [LEDGER], at=NOW - 60, confirm=2)
        assert got[LEDGER].amount == 53_123_456_789_012_345 and got[LEDGER].pin.timestamp == NOW
        with pytest.raises(ReadError, match="nodes state their newest block only"):
            await icp.FAMILY.read(p, [LEDGER], at=NOW - 86_400, confirm=2)
    async with pool("icp", await serve(icp_node(status="rejected"))) as p:
        assert "canister is stopped" in (await icp.FAMILY.read(p, [LEDGER], at=None, confirm=1))[LEDGER].reason
    async with pool("icp", await serve(icp_node(decimals=12))) as p:
        assert (
            "has 12 decimals, 8 are configured"
            in (await icp.FAMILY.read(p, [LEDGER], at=None, confirm=1))[LEDGER].reason
        )


async def test_icp_replica_that_stands_still_is_not_believed(serve) -> None:
    for signed, said in (
        (NOW - 3600, "the answer is signed 3600 s ago"),
        ("soon", "the answer is signed without a time"),
    ):
        stale, fresh = await serve(icp_node(supply=1, signed=signed)), await serve(icp_node())
        async with pool("icp", stale, fresh) as p:
            reading = (await icp.FAMILY.read(p, [LEDGER], at=None, confirm=1))[LEDGER]
            assert (reading.amount, reading.agreed) == (53_123_456_789_012_345, (fresh,))
        async with pool("icp", stale) as p:
            assert said in (await icp.FAMILY.read(p, [LEDGER], at=None, confirm=1))[LEDGER].reason
    async with pool("icp", await serve(icp_node(signed=None))) as p:  # an older boundary node signs nothing
        assert (await icp.FAMILY.read(p, [LEDGER], at=None, confirm=1))[LEDGER].amount == 53_123_456_789_012_345


async def test_icp_endpoint_of_another_network_is_banned(serve) -> None:
    def network(key: object):
        async def handle(request: web.Request) -> web.Response:
            if request.path != "/api/v2/status":
                return await icp_node()(request)
            body = cbor2.dumps({"ic_api_version": "0.18.0", "root_key": key, "replica_health_status": "healthy"})
            return web.Response(body=b"\xd9\xd9\xf7" + body, content_type="application/cbor")

        return handle

    own = hashlib.sha256(b"own root key").hexdigest()[:32]
    for key, said in (
        (b"other", "serves chain d9298a10d1b0735837dc4bd85dac641b"),
        ("text", "the root key is not bytes"),
    ):
        async with pool("icp", await serve(network(key)), identity=own) as p:
            with pytest.raises(AllEndpointsFailed, match=said):
                await icp.FAMILY.read(p, [LEDGER], at=None, confirm=1)
    good = Chain(
        "icp", "icp", (await serve(network(b"own root key")), await serve(icp_node(status="gone"))), identity=own
    )
    assert [row.ok for row in await check_endpoints({"icp": good})] == [True, False]
    async with pool("icp", good.endpoints[0], identity=own) as p:
        assert (await icp.FAMILY.read(p, [LEDGER], at=None, confirm=1))[LEDGER].amount == 53_123_456_789_012_345


def test_principal_checksum_is_checked() -> None:
    raw = bytes.fromhex("00000000000000020101")
    text = b32encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().lower().rstrip("=")
    assert icp.principal(text) == icp.principal("ryjl3-tyaaa-aaaaa-aaaba-cai") == raw
    with pytest.raises(ReadError, match="is not a principal"):
        icp.principal("ryjl3-tyaaa-aaaaa-aaaba-caj")


def test_broken_cbor_is_refused() -> None:
    assert parse_cbor(b"\xd9\xd9\xf7" + cbor2.dumps({"a": [1, b"\x00", None]})) == {"a": [1, b"\x00", None]}
    for broken in (b"", b"\xa1", b"\x5a\xff", b"\x9f\x01", b"\x81" * 5000, b"\x01\x01"):
        with pytest.raises(RpcError, match="CBOR"):
            parse_cbor(broken)
