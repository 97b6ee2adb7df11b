"""Keys: made once, kept as hashes in one file, scoped, revocable; and the owner's, who can read a file beside them.

A key reads `deai_<prefix>_<secret>`: the prefix finds it and may be shown, the secret is 256 random bits, so a
plain SHA-256 of it is enough. The file is read again when it changes, so revoking needs no restart.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from starlette.requests import HTTPConnection

from indexer.errors import ConfigError, InputError, NotFoundError, StoreError, did_you_mean
from indexer.store.drafts import draft

FORM = re.compile(r"deai_([0-9a-f]{12}|owner)_([A-Za-z0-9_-]{43})")
NO_HASH = "0" * 64
# An address shows nothing: behind a proxy every visitor comes from this machine. The owner is who can read this file.
OWNER = "owner"
LINK_LASTS = timedelta(hours=1)


class Scope(StrEnum):
    """What a key may do. `admin` includes `read`, which includes `embed`: what is shown on pages of others."""

    EMBED = "embed"
    READ = "read"
    ADMIN = "admin"


# Where a key may stand: what is ours, and what clients of CoinGecko send.
KEY_HEADERS = ("x-api-key", "x-cg-pro-api-key", "x-cg-demo-api-key")
KEY_PARAMETERS = ("api_key", "x_cg_pro_api_key", "x_cg_demo_api_key")


def given_key(connection: HTTPConnection) -> str | None:
    """The key a request carries: Authorization: Bearer, X-API-Key, or ?api_key= where no header can be set."""
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text.strip():
        return text.strip()
    headers, query = connection.headers, connection.query_params
    places = [*((headers, name) for name in KEY_HEADERS), *((query, name) for name in KEY_PARAMETERS)]
    return next((values[name] for values, name in places if values.get(name)), None)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: never the secret. Instants are ISO 8601, UTC."""

    prefix: str
    name: str
    scopes: tuple[str, ...]
    hash: str
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    requests_per_minute: int | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key has a scope, or one that includes it."""
        wider = list(Scope)[list(Scope).index(scope) :]
        return any(name in self.scopes for name in wider)

    def is_good_at(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < datetime.fromisoformat(self.expires_at))


class KeyRing:
    """The keys of one installation, in a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Every key, oldest first, revoked ones too. Raises ConfigError when the file is not one of ours."""
        try:
            file = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._keys = None, {}
            return []
        stamp = (file.st_mtime_ns, file.st_ino)
        if stamp != self._stamp:
            self._keys, self._stamp = _read(self.path), stamp
        return list(self._keys.values())

    @property
    def owner_path(self) -> Path:
        """The file with the owner's token."""
        return self.path.with_name("owner.token")

    def owner(self) -> Key | None:
        """The owner's key, or None where no token can be read."""
        try:
            match = FORM.fullmatch(self.owner_path.read_text(encoding="utf-8").strip())
        except OSError:
            return None
        if match is None:  # it is being written
            return None
        digest = sha256(match[2].encode()).hexdigest()
        return Key(prefix=OWNER, name=OWNER, scopes=(Scope.ADMIN.value,), hash=digest, created_at="")

    def make_owner(self) -> None:
        """Makes the owner's token unless there is one, readable by its owner only."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                handle = os.open(self.owner_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(f"deai_{OWNER}_{secrets.token_urlsafe(32)}")
            self.owner_path.chmod(0o600)
        except OSError as error:
            raise StoreError(f"Cannot write {self.owner_path}: {error.strerror}") from error

    def new_link(self) -> str:
        """The secret of a link that makes one browser the owner's, once and within an hour; the one before is void."""
        self.make_owner()
        text = secrets.token_urlsafe(32)
        _write(self.path.with_name("owner.link"), sha256(text.encode()).hexdigest())
        return text

    def take_link(self, text: str, *, now: datetime) -> bool:
        """Whether this is the secret of the newest link, which it is to one caller only."""
        path = self.path.with_name("owner.link")
        try:
            age = now.timestamp() - path.stat().st_mtime
            same = hmac.compare_digest(path.read_text(encoding="utf-8"), sha256(text.encode()).hexdigest())
            if not same or age > LINK_LASTS.total_seconds():
                return False
            path.unlink()
        except OSError:
            return False
        return True

    def find(self, text: str, *, now: datetime) -> Key | None:
        """The key that this text is, or None when there is no such key, or it is revoked or expired."""
        match = FORM.fullmatch(text)
        prefix, secret = match.groups() if match else ("", "")
        key = self.named(prefix, now=now)
        # Compared even when there is no such key, so that the time taken tells nothing.
        same = hmac.compare_digest(key.hash if key else NO_HASH, sha256(secret.encode()).hexdigest())
        return key if same else None

    def named(self, prefix: str, *, now: datetime) -> Key | None:
        """The key with this prefix, or None when there is no such key, or it is revoked or expired."""
        if prefix == OWNER:
            return self.owner()
        self.all()
        key = self._keys.get(prefix)
        return key if key is not None and key.is_good_at(now) else None

    def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        *,
        now: datetime,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
    ) -> tuple[Key, str]:
        """A new key and its text, which is shown this once and kept nowhere."""
        if not scopes or not name.strip():
            raise InputError(f"A key needs a name and at least one scope of {', '.join(Scope)}")
        if expires_at is not None and expires_at <= now:
            raise InputError(f"The key would have expired already at {expires_at.isoformat()}; give a later instant")
        prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = Key(
            prefix=prefix,
            name=name.strip(),
            scopes=tuple(scope.value for scope in scopes),
            hash=sha256(secret.encode()).hexdigest(),
            created_at=now.isoformat(),
            expires_at=expires_at.isoformat() if expires_at else None,
            requests_per_minute=requests_per_minute,
        )
        self._write([*self.all(), key])
        return key, f"deai_{prefix}_{secret}"

    def revoke(self, prefix: str, *, now: datetime) -> Key:
        """The key, from now on refused. Raises NotFoundError for an unknown prefix."""
        known = {key.prefix: key for key in self.all()}
        if prefix not in known:
            raise NotFoundError(f'No key "{prefix}".{did_you_mean(prefix, known)} `deai keys list` shows them')
        gone = replace(known[prefix], revoked_at=known[prefix].revoked_at or now.isoformat())
        self._write([gone if key.prefix == prefix else key for key in known.values()])
        return gone

    def _write(self, keys: list[Key]) -> None:
        _write(self.path, json.dumps([asdict(key) for key in keys], indent=1))


def _write(path: Path, text: str) -> None:
    with draft(path, mode=0o600, folder=True, error=StoreError) as part:
        part.write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Key]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        keys = [Key(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is not a file of keys ({error}); move it away and make new keys") from None
    return {key.prefix: key for key in keys}
