"""Where a person can look at a block: public explorers by chain. Links only; nothing is read from them."""

from __future__ import annotations

from typing import Final

BLOCKS: Final = {
    "ethereum": "https://etherscan.io/block/{number}",
    "arbitrum": "https://arbiscan.io/block/{number}",
    "base": "https://basescan.org/block/{number}",
    "optimism": "https://optimistic.etherscan.io/block/{number}",
    "bsc": "https://bscscan.com/block/{number}",
    "polygon": "https://polygonscan.com/block/{number}",
    "solana": "https://explorer.solana.com/block/{number}",
    "near": "https://nearblocks.io/blocks/{hash}",
    "bittensor": "https://taostats.io/block/{number}",
    "akash": "https://www.mintscan.io/akash/block/{number}",
    "fetchhub": "https://www.mintscan.io/fetchai/block/{number}",
    "arweave": "https://viewblock.io/arweave/block/{number}",
    "filecoin": "https://filfox.info/en/tipset/{number}",
}


def block_link(chain: str | None, number: int | None, block_hash: str | None) -> str | None:
    """The page of a block at a public explorer, or None where there is no block or no explorer is known."""
    template = BLOCKS.get(chain or "")
    if template is None or number is None or ("{hash}" in template and not block_hash):
        return None
    return template.format(number=number, hash=block_hash)
