"""`deai keys`: who may use this server from elsewhere. Keys are made, listed and revoked here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.command import Json, emit, say, table
from indexer.errors import ConfigError, did_you_mean
from indexer.times import utc_now

if TYPE_CHECKING:
    from api.middleware.keys import Key, KeyRing
    from indexer.config import Settings

app = typer.Typer(
    help="Make, list and revoke keys for those who use this server from elsewhere.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _ring() -> KeyRing:
    from api.middleware.keys import KeyRing
    from indexer.config import load_settings

    return KeyRing(load_settings().data_dir / "keys.json")


def _shown(key: Key) -> dict[str, object]:
    """A key as it may be seen by anyone: without its hash."""
    names = ("prefix", "name", "scopes", "created_at", "expires_at", "revoked_at", "requests_per_minute")
    return {name: getattr(key, name) for name in names}


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "good" if key.is_good_at(now) else "expired"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What or who it is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help="embed, read or admin; may be given twice.")] = ["read"],  # noqa: B006 - Typer copies it
    days: Annotated[int | None, typer.Option("--days", min=1, help="Expires after so many days.")] = None,
    per_minute: Annotated[int | None, typer.Option("--per-minute", min=1, help="Requests a minute of its own.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key; its text is shown this once. Example: deai keys create sheet --scope read --days 90"""
    from api.middleware.keys import Scope

    known = {member.value: member for member in Scope}
    for word in scope:
        if word not in known:
            raise ConfigError(f'--scope "{word}" is not one of {", ".join(known)}.{did_you_mean(word, known)}')
    now = utc_now()
    key, text = _ring().create(
        name,
        tuple(known[word] for word in dict.fromkeys(scope)),
        now=now,
        expires_at=None if days is None else now + timedelta(days=days),
        requests_per_minute=per_minute,
    )

    def as_text() -> None:
        say(text)
        say(f"shown this once; only its hash is kept. Scopes: {', '.join(key.scopes)}.")
        say(f"deai keys revoke {key.prefix} takes it back.")

    emit({**_shown(key), "key": text}, as_json=as_json, text=as_text)


@app.command(name="list")
def list_command(as_json: Json = False) -> None:
    """List all keys, revoked ones too, without their secrets."""

    keys, now = _ring().all(), utc_now()
    headers = ("prefix", "name", "scopes", "state", "created", "expires", "a minute")

    def row(key: Key) -> tuple[object, ...]:
        expires = key.expires_at[:10] if key.expires_at else "never"
        scopes = ", ".join(key.scopes)
        return key.prefix, key.name, scopes, _state(key, now), key.created_at[:10], expires, key.requests_per_minute

    def text() -> None:
        if keys:
            table(headers, [row(key) for key in keys])
        else:
            say("no keys; `deai keys create NAME` makes one")

    emit([{**_shown(key), "state": _state(key, now)} for key in keys], as_json=as_json, text=text)


@app.command()
def link(as_json: Json = False) -> None:
    """Print a link to the page that makes one browser the owner's, once and within an hour."""
    from indexer.config import load_settings

    settings = load_settings()
    address = owner_link(settings, _ring())
    emit({"link": address}, as_json=as_json, text=lambda: say(address))


def owner_link(settings: Settings, ring: KeyRing) -> str:
    """The address of a new link; what the page is called from elsewhere the reader puts in front of it."""
    return f"http://{settings.host}:{settings.port}{settings.root_path}/owner?link={ring.new_link()}"


@app.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="The key's prefix, as `deai keys list` shows it.")],
    as_json: Json = False,
) -> None:
    """Refuse a key from now on; running servers notice by themselves."""

    gone = _ring().revoke(prefix, now=utc_now())
    emit(_shown(gone), as_json=as_json, text=lambda: say(f"{gone.prefix} ({gone.name}) is revoked"))
