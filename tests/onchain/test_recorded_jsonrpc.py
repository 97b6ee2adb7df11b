"""Real recorded answers: all parse or fail as what they are; two mined cases are followed end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onchain.chains import Chain
from onchain.errors import Kind, RpcError
from onchain.evm.activity import TRANSFER, count_transfers, parse_transfers
from onchain.evm.logs import RangeSize
from onchain.evm.multicall import decode_output
from onchain.rpc.pin import parse_header
from onchain.rpc.pool import Pool
from onchain.rpc.wire import parse_answer, parse_json

FOLDER = Path(__file__).parents[2] / ".." / "shared" / "data" / "responses" / "jsonrpc"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="recorded answers (shared/data) are not beside the repository"
)
BODIES = sorted(p for p in FOLDER.glob("*.json") if not p.name.endswith(".meta.json")) if FOLDER.is_dir() else []
FAILED = {
    "eth_getBalance_3": Kind.MISSING_STATE,
    "eth_getLogs_4": Kind.TOO_BIG,
    "eth_getTransactionByHash_3": Kind.NOT_FOUND,
    "eth_getTransactionReceipt_4": Kind.NOT_FOUND,
}


def body(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("path", BODIES, ids=[p.stem for p in BODIES])
def test_every_recorded_answer_parses_or_is_classified(path: Path) -> None:
    got = parse_json(path.read_bytes())
    if path.stem.startswith("etherscan_getLogs"):
        assert got["status"] == "1" and got["result"]
        return
    if path.stem in FAILED:
        with pytest.raises(RpcError) as caught:
            parse_answer(got, got["id"])
        assert caught.value.kind is FAILED[path.stem]
        return
    try:
        result = parse_answer(got, got["id"])
    except RpcError as error:
        assert error.kind in {Kind.MISSING_STATE, Kind.NOT_FOUND, Kind.TOO_BIG}, str(error)
        return
    if path.stem.startswith("eth_getBlockByNumber"):
        header = parse_header(result)
        assert header.number > 0 and header.timestamp > 1_438_269_000
    elif path.stem.startswith("eth_blockNumber") or path.stem.startswith("eth_getBalance"):
        assert int(result, 16) > 0


def test_recorded_calls_decode() -> None:
    raw = bytes.fromhex(body("eth_call_1")["result"][2:])
    assert decode_output(raw, ("string",)) == "yyDAI+yUSDC+yUSDT+yTUSD"
    balance = bytes.fromhex(body("eth_call_3")["result"][2:])
    assert decode_output(balance, ("uint256",)) == 0x13E92C5FBAD7


def test_a_mined_transaction_from_four_recordings_gives_the_same_transfers() -> None:
    """Block 10,773,652: aWBTC mints 177, burns 41,590,034, mints 0, burns 8 (receipts, logs, an explorer's logs)."""
    token = "0xFC4B8ED459e00e5400be803A9BB3954234FD50e3"
    rows = []
    for name in ("eth_getTransactionReceipt_2", "eth_getTransactionReceipt_3"):
        logs = [g for g in body(name)["result"]["logs"] if g["address"] == token.lower() and g["topics"][0] == TRANSFER]
        rows.append([row[:5] for row in parse_transfers([{"blockHash": "", **g} for g in logs], token=token)])
    assert rows[0] == rows[1] and [r[4] for r in rows[0]] == [177, 41_590_034, 0, 8]
    mints = [row[:5] for row in parse_transfers(body("eth_getLogs_1")["result"], token=token)]
    others = [row[:5] for row in parse_transfers(body("etherscan_getLogs_1")["result"], token=token)]
    assert mints == others == [rows[0][0], rows[0][2]]
    sums, _ = count_transfers(parse_transfers([{"blockHash": "", **g} for g in logs], token=token))
    assert [sums[name] for name in ("mint", "burn", "mints", "burns", "transfers")] == [177, 41_590_042, 2, 2, 0]


async def test_recorded_range_refusal_leads_to_the_recorded_next_request(proxies) -> None:
    """1rpc.io refused 0xc350–0xea60 with "limited to a 1000 blocks range"; the recorded retry asked 0xc350–0xc737."""
    refused, retried = (
        json.loads(json.loads((FOLDER / f"eth_getLogs_{n}.meta.json").read_text())["request_body"]) for n in (4, 5)
    )
    error = body("eth_getLogs_4")["error"]
    first, last = (int(refused["params"][0][k], 16) for k in ("fromBlock", "toBlock"))
    server = await proxies(
        None,
        serve=lambda item: {"eth_chainId": "0x64"}[item["method"]],
        refuse=lambda item: error if item["method"] == "eth_getLogs" else None,
    )
    chain = Chain("gnosis", "evm", (server.url,), identity_method="eth_chainId", identity="0x64", rate_per_s=1e6)
    async with Pool(chain) as pool:
        with pytest.raises(RpcError) as caught:
            await pool.call("eth_getLogs", refused["params"])
    assert caught.value.kind is Kind.TOO_BIG
    size = RangeSize(step=last - first + 1)
    size.refused(first, last - first + 1, caught.value.message)
    assert hex(first + size.step - 1) == retried["params"][0]["toBlock"]
