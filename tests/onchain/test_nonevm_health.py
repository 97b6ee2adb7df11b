"""How fresh every kind of chain is, read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

from datetime import UTC, datetime

from nonevm import arweave_node, cosmos_node, filecoin_node, near_node, solana_node, substrate_node

from onchain.chains import Chain
from onchain.health import check_endpoints


async def test_doctor_tells_how_fresh_every_kind_of_chain_is(serve) -> None:
    wall = int(datetime.now(UTC).timestamp())
    nodes = {
        "solana": (solana_node(time=wall - 30), {}, 350_000_000),
        "near": (near_node(150_000_002), {}, 150_000_002),
        "substrate": (substrate_node(), {}, 5_000_000),
        "cosmos": (cosmos_node(), {}, 20_000_000),
        "filecoin": (filecoin_node(), {}, 6_389_786),
        "arweave": (arweave_node(time=wall - 50), {}, 1_800_000),
    }
    chains = {name: Chain(name, name, (await serve(node),), **more) for name, (node, more, _) in nodes.items()}
    rows = await check_endpoints(
        {**chains, "stale": Chain("stale", "arweave", (await serve(arweave_node()),), max_age_s=60)}
    )
    assert {row.chain: row.height for row in rows if row.chain != "stale"} == {n: h for n, (_, _, h) in nodes.items()}
    assert [row.problem for row in rows[:-1]] == [""] * 6 and 30 <= rows[0].age_s < 3600
    assert rows[-1].problem.startswith("stale: its newest settled block is ") and not rows[-1].ok
