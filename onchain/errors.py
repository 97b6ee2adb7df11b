"""Every error the chain reader raises on purpose, and texts without keys. Nothing here reads the network.

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
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from typing import ClassVar, Final
from urllib.parse import parse_qsl, quote, urlsplit


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


def malformed(message: str, endpoint: str = "") -> RpcError:
    """The error of an answer that is not what was asked: not to be trusted."""
    return RpcError(message, kind=Kind.MALFORMED, endpoint=endpoint)


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for the closest known word, or '' when nothing is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


HIDDEN: Final = "<redacted>"
SECRET_CHARS: Final = 8  # shorter parts of a path are words of the service

_PARAMETER = re.compile(
    r"(?i)\b((?:x[-_]cg[-_](?:demo|pro)[-_])?(?:api[-_]?key|access[-_]?token|token|secret|signature|password))"
    r"(\s*[=:]\s*)([^&\s\"',;}]+)"
)
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every known secret, and whatever looks like a key in a URL, replaced by `<redacted>`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN).replace(quote(secret, safe=""), HIDDEN)
    text = _USERINFO.sub(rf"\1{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\1\2{HIDDEN}", text)


def redact_url(url: str) -> str:
    """A node's URL without what may be a key: user info, path and query become `…`; scheme, host and port stay."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    hidden = "/…" if parts.path.strip("/") or parts.query or parts.username else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{hidden}"


def redact_parts(text: str, url: str) -> str:
    """`text` without the parts of `url` that may be a key, should an answer repeat them, even cut off."""
    parts = urlsplit(url)
    secrets = [parts.username, parts.password, *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    for secret in secrets:
        if secret and len(secret) >= SECRET_CHARS:
            text = re.sub(re.escape(secret[:SECRET_CHARS]) + r"[\w.~%-]*", "…", text)
    return text
