"""What a browser is given for a key, so that pages can read where reads need one: a cookie, never the key.

The cookie names the key and an end, and is signed with the key's hash: revoking the key ends it, another process
of this installation knows it, and nothing more has to be kept. It opens reads only (see `access.py`); who can read
the hashes can read the store beside them.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.middleware.keys import Key

COOKIE = "deai_session"
LASTS = timedelta(days=30)
FORM = re.compile(r"([0-9a-z]{1,16})\.(\d{1,12})\.([0-9a-f]{64})")


def session_for(key: Key, *, now: datetime) -> tuple[str, int]:
    """The value of the cookie for a key and how many seconds it lasts: a month, or as long as the key."""
    end = now + LASTS
    if key.expires_at is not None:
        end = min(end, datetime.fromisoformat(key.expires_at))
    seconds = int(end.timestamp())
    return f"{key.prefix}.{seconds}.{_signature(key, seconds)}", seconds - int(now.timestamp())


def named_in(text: str, *, now: datetime) -> str | None:
    """The prefix of the key that a cookie names, None when it is not of our form or has ended. Not yet believed."""
    match = FORM.fullmatch(text)
    return match[1] if match and int(match[2]) > now.timestamp() else None


def is_signed_with(text: str, key: Key) -> bool:
    """Whether the cookie that names this key was made by us."""
    match = FORM.fullmatch(text)
    return match is not None and hmac.compare_digest(match[3], _signature(key, int(match[2])))


def _signature(key: Key, seconds: int) -> str:
    said = f"deai-session:{key.prefix}:{seconds}".encode()
    return hmac.new(key.hash.encode(), said, sha256).hexdigest()
