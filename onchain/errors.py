"""Every error the chain reader raises on purpose, and the table that classifies what nodes say.

    OnchainError                  catch this for "anything of the chain reader"
    ├── ChainConfigError          chains.toml, tokens.toml or an argument is wrong: correct it
    ├── RpcError                  one endpoint failed one request; `kind` says how (see Kind)
    ├── AllEndpointsFailed        every endpoint of a chain failed; lists each one's reason
    ├── PinError                  no block could be fixed: no quorum, too old, not final yet
    │   └── OrphanedPin           the pinned block left the chain: pin and read again
    ├── DisagreementError         two endpoints answered one pinned read differently and no third decided
    ├── ReadError                 a contract or network answered something that is not what was asked
    ├── ScanError                 a log scan cannot be complete (never returned as a short list)
    ├── BudgetSpent               the requests that a pool may send are used up
    ├── SupplyError               components do not add up (unbacked mint, more excluded than exists)
    └── PriceRefused              an oracle or pool price fails its checks; the reason is in the text

Place in the flow: leaf of `onchain`; nothing here reads the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from typing import ClassVar


class OnchainError(Exception):
    """Root of the tree. `code` is stable; `retryable` tells whether the same call may succeed later."""

    code: ClassVar[str] = "onchain_error"
    retryable: bool = False


class ChainConfigError(OnchainError, ValueError):
    code = "onchain_config"


class PinError(OnchainError):
    code = "pin_refused"
    retryable = True


class OrphanedPin(PinError):  # noqa: N818 - reads as a state
    code = "pin_orphaned"


class DisagreementError(OnchainError):
    code = "endpoints_disagree"


class ReadError(OnchainError):
    code = "bad_reading"


class ScanError(OnchainError):
    code = "scan_incomplete"


class BudgetSpent(OnchainError):  # noqa: N818 - reads as a state
    code = "budget_spent"


class SupplyError(OnchainError):
    code = "supply_inconsistent"


class PriceRefused(OnchainError):  # noqa: N818 - reads as a state
    code = "price_refused"


class Kind(StrEnum):
    """What a failed request means for the caller, whatever the node's wording."""

    TOO_BIG = "too_big"  # ask for less: fewer blocks, fewer calls
    RATE_LIMIT = "rate_limit"  # same request later, or elsewhere
    MISSING_STATE = "missing_state"  # needs an archive node
    NOT_FOUND = "not_found"  # this node does not know the block (behind, or orphaned)
    REVERT = "revert"  # the contract refused: the same on every node
    REJECTED = "rejected"  # the node does not accept these parameters
    NO_METHOD = "no_method"  # the node does not offer the method
    MALFORMED = "malformed"  # HTML, cut body, wrong id, wrong chain: do not trust
    REFUSED = "refused"  # 401, 403, 451: a key or another region is needed
    SLOW = "slow"  # no answer in time, of the node or of the proxy before it
    UNAVAILABLE = "unavailable"  # connection refused, 5xx
    UNKNOWN = "unknown"


class RpcError(OnchainError):
    """One request to one endpoint failed. `endpoint` is already redacted; `data` is the node's own."""

    code = "rpc_error"

    def __init__(
        self,
        message: str,
        *,
        kind: Kind,
        endpoint: str = "",
        retry_after_s: float | None = None,
        node_code: int | None = None,
        data: object = None,
    ) -> None:
        super().__init__(f"{endpoint}: {message}" if endpoint else message)
        self.message = message
        self.kind = kind
        self.endpoint = endpoint
        self.retry_after_s = retry_after_s
        self.node_code = node_code
        self.data = data
        self.retryable = kind in {Kind.RATE_LIMIT, Kind.UNAVAILABLE, Kind.SLOW, Kind.NOT_FOUND}

    def at(self, endpoint: str, method: str, *, message: str) -> RpcError:
        """The same error with where it happened; `message` is its message without secrets."""
        return RpcError(
            f"{method}: {message}",
            kind=self.kind,
            endpoint=endpoint,
            retry_after_s=self.retry_after_s,
            node_code=self.node_code,
            data=self.data,
        )


class AllEndpointsFailed(OnchainError):  # noqa: N818 - reads as a state
    """Every endpoint failed. `errors` holds one RpcError each; `kind` is the one they share, else UNKNOWN."""

    code = "all_endpoints_failed"
    retryable = True

    def __init__(self, chain: str, method: str, errors: list[RpcError]) -> None:
        listed = "; ".join(str(error) for error in errors) or "no endpoint is configured"
        super().__init__(f"{chain}: {method} failed on every endpoint ({listed})")
        self.errors = errors
        kinds = {error.kind for error in errors}
        self.kind = kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN


# Order matters: the first pattern that matches wins. Texts are real ones (issue trackers, recordings, anvil).
_TABLE: tuple[tuple[Kind, str], ...] = (
    (Kind.REVERT, r"\A(VM Exception.{0,60})?execution reverted"),  # a contract's own words may say anything after it
    (
        Kind.RATE_LIMIT,
        r"rate.?limit|too many requests|request limit|compute units|throughput|capacity exceeded|exceeded.{0,20}quota"
        r"|daily (hits|request)|throttl|call rate",
    ),
    (
        Kind.MISSING_STATE,
        r"missing trie node|missingtrienode|historical state|state .{0,90}is not available|blockoutofrange"
        r"|garbage.?collected|lowest height|load state at height|version does not exist|state already discarded"
        r"|state (is )?pruned|required historical|archive|pruned|old data not available|no state available",
    ),
    (
        Kind.TOO_BIG,
        r"more than \d+ results|query exceeds|exceeds? max(imum)? (block|result)|exceed maximum block range"
        r"|blocks? range|range(s)? (is )?(too (large|wide)|over)|ranges over|too large|too many (blocks|results|logs)"
        r"|response size|exceeds the maximum|max(imum)? block|is limited to|query timeout|timeout exceeded"
        r"|limit exceeded|out of gas|gas required exceeds|intrinsic gas|request entity|execution timeout"
        r"|response is too big|size exceeded|exceeds the limit|range [\d,]+ exceeds|exceed(s|ed)? max(imum)? allowed"
        r"|(at most|within|up to) [\d,]+k? blocks",
    ),
    (Kind.REVERT, r"execution reverted|revert|invalid opcode|stack underflow|bad jump"),
    (
        Kind.NOT_FOUND,
        r"header (was )?not found|minimum context slot|db not found error: block"
        r"|header for hash|unknown block|block not found|resource not found|not currently canonical"
        r"|hash is not canonical|non-canonical|could not find block|block with .{0,80} not found|cannot find block"
        r"|block .{0,40}not available|unknown_block|no historical rpc|beyond current head|requested height",
    ),
    (Kind.UNAVAILABLE, r"node is (behind|unhealthy)|server (is )?(busy|overloaded)|service unavailable|bad gateway"),
    (
        Kind.NO_METHOD,
        r"method .{0,60}(not found|not supported|not available|does not exist|disabled)|unsupported method",
    ),
    (Kind.REFUSED, r"unauthori[sz]ed|forbidden|api key|access denied|must be authenticated|payment required"),
    (
        Kind.REJECTED,
        r"invalid (argument|param|request)|cannot unmarshal|missing (field|value)|unknown field|deserializ",
    ),
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _TABLE)
_BY_CODE = {-32005: Kind.TOO_BIG, -32601: Kind.NO_METHOD, -32602: Kind.REJECTED, -32001: Kind.NOT_FOUND, 3: Kind.REVERT}
_BY_STATUS = {
    **dict.fromkeys((401, 402, 403, 451), Kind.REFUSED),
    **dict.fromkeys((408, 504, 524), Kind.SLOW),
    413: Kind.TOO_BIG,
}


def classify(message: str, *, code: int | None = None, data: object = None) -> Kind:
    """What a node's error object means. The text decides first, then its `data`, then the numeric code."""
    for text in (message, data if isinstance(data, str) else repr(data) if data else ""):
        for kind, pattern in _COMPILED:
            if text and pattern.search(text):
                return kind
    return _BY_CODE.get(code, Kind.UNKNOWN) if code is not None else Kind.UNKNOWN


def classify_status(status: int) -> Kind:
    """What an HTTP status other than 200 means when its body explains nothing."""
    if status == 429:
        return Kind.RATE_LIMIT
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 404:
        return Kind.NO_METHOD
    return Kind.UNAVAILABLE if status >= 500 else Kind.REJECTED


_SUGGESTED = re.compile(r"range[^0-9\[]{0,20}\[?(0x[0-9a-f]+|\d+)\s*[-,]\s*(0x[0-9a-f]+|\d+)\]?", re.IGNORECASE)
_BLOCKS = r"([\d,_]+)(k?)\b(?! ?(?:results|logs|entries))"
_LIMIT = tuple(
    re.compile(words + _BLOCKS, re.IGNORECASE)
    for words in (
        r"limited to(?: an?)? ",
        r"max(?:imum)?(?: is set to| is| allowed range| block range:?| range:?| of|:)? ",
        r"exceeds the maximum of ",
        r"exceeds? (?:the )?limit of ",
        r"over the limit ",
        r"ranges? over ",
        r"(?:up to|at most|within|greater than|allowed:)(?: an?)? ",
    )
)


def range_hint(message: str) -> tuple[int | None, int | None]:
    """(blocks, last block) a "too big" message suggests; None where it names none.

    The first is a limit for good ("limited to a 1000 blocks range"); the second is a one-off
    suggestion ("retry with the range a-b") that holds for these logs only.
    """
    for pattern in _LIMIT:
        if limit := pattern.search(message):
            blocks = int(limit[1].replace(",", "").replace("_", "")) * (1000 if limit[2] else 1)
            return (blocks, None) if blocks > 0 else (None, None)
    if range_ := _SUGGESTED.search(message):
        return None, int(range_[2], 0)
    return None, None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for the closest known word, or '' when nothing is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""
