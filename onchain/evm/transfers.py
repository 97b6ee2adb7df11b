"""Transfer events as exact tuples, straight from raw JSON logs. Pure.

Place in the flow: `logs` gives raw chunks, this decodes, `activity` counts. About 1 µs an event: the answer is hex in
JSON, so slicing text beats any ABI library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from onchain.errors import ReadError

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ZERO = "0x" + "0" * 40
_PAD = "0x" + "0" * 24

# (block number, log index, sender, receiver, value in base units, block hash); addresses are lower-case 0x text
Transfer: TypeAlias = tuple[int, int, str, str, int, str]


def parse_transfers(logs: Sequence[dict[str, object]], *, token: str) -> list[Transfer]:
    """ERC-20 Transfer tuples in log order. Values stay int: floats and int64 corrupt 10^27.

    A log with four topics and no data is an ERC-721 transfer and is left out. Raises ReadError for a log of another
    contract or event, or one whose words do not hold.
    """
    try:
        return _parsed(logs, token)
    except (TypeError, ValueError) as error:
        raise ReadError(f"a Transfer of {token} holds words that are not hex ({error})") from None


def _parsed(logs: Sequence[dict[str, Any]], token: str) -> list[Transfer]:
    wanted, rows = token.lower(), []
    for log in logs:
        topics, data = log["topics"], log["data"]
        if len(topics) == 4 and data == "0x":
            continue
        sender, receiver = topics[1:3] if len(topics) == 3 else ("", "")
        if (
            len(data) != 66
            or topics[:1] != [TRANSFER]
            or sender[:26] != _PAD
            or receiver[:26] != _PAD
            or len(sender) != 66
            or len(receiver) != 66
            or str(log["address"]).lower() != wanted
        ):
            raise ReadError(f"log {log.get('logIndex')} of block {log.get('blockNumber')} is not a Transfer of {token}")
        rows.append(
            (
                int(str(log["blockNumber"]), 16),
                int(str(log["logIndex"]), 16),
                "0x" + sender[26:],
                "0x" + receiver[26:],
                int(data, 16),
                str(log["blockHash"]),
            )
        )
    return rows
