"""Commands that run the house: settings, keys, the clock, the archive, backups."""

from __future__ import annotations

import html
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer.cli.command import Answer, group, migrated, opened, progress, say, settings_in_force, table
from indexer.errors import ConfigError, InputError, did_you_mean
from indexer.times import utc_now

if TYPE_CHECKING:
    from api.middleware.keys import Key, KeyRing
    from indexer.config import Settings

HEAD = """# Settings

Environment variables, or lines of a file `.env` in the folder you start in. None is needed. An unknown `DEAI_…` name
is refused with the nearest known one. `deai settings` prints what is in force. This page is made from
`indexer/config.py`.

| setting | default | what it does |
| --- | --- | --- |
"""


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="The page of the documentation instead.")] = False,
) -> Answer:
    """Every setting, the value in force and what it does; secrets are not shown."""
    from indexer.config import Settings

    if markdown:
        page = HEAD + "\n".join(_row(name, field) for name, field in Settings.model_fields.items())
        return Answer(page, page)
    current = settings_in_force()
    rows = [
        {"name": f"DEAI_{name.upper()}", "value": _as_set(getattr(current, name)), "description": field.description}
        for name, field in Settings.model_fields.items()
    ]
    return Answer(rows, "\n".join(f"{row['name']}={row['value']}\n    {row['description']}" for row in rows))


def _row(name: str, field: Any) -> str:
    shown = _as_set(field.default)
    return f"| `DEAI_{name.upper()}` | {f'`{shown}`' if shown else ''} | {html.escape(str(field.description))} |"


def _as_set(value: object) -> str:
    """The value as one would set it; a secret, and the password in an address, as stars."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(value))


def clock(
    word: Annotated[str, typer.Argument(help="accept: this machine's clock is right.", show_default=False)] = "",
) -> Answer:
    """Say whether this machine's clock is doubted (then no scheduled work is done), or end that by `accept`."""
    from indexer.live.standing import accept_clock, clock_doubt

    if word not in ("", "accept"):
        raise InputError(f'deai clock {word}: give "accept" or nothing')
    with opened() as (store, _):
        doubt = (accept_clock if word else clock_doubt)(store, now=utc_now())
    sentence = f"{'accepted; was doubted' if word else 'doubted'}: {doubt}" if doubt else "the clock is not doubted"
    return Answer({"accepted": bool(word), "clock_suspect": doubt}, sentence)


def backup(file: Annotated[Path, typer.Argument(help="Where to write it, e.g. deai-2026-12-01.tar.")]) -> Answer:
    """Write the store, its archive and the keys into one file, while others may work. Example: deai backup deai.tar"""
    from indexer.store.backup import write_backup

    with opened() as (store, settings):
        size = write_backup(store, settings.data_dir, file)
    return Answer({"file": str(file), "bytes": size}, f"{file}: {size:,} bytes")


def restore(file: Annotated[Path, typer.Argument(help="A file that `deai backup` wrote.")]) -> Answer:
    """Put a backup into an empty data directory and bring it to this version; then `deai verify` checks it."""
    from indexer.store.backup import BY_SERVER, restore_backup

    settings = settings_in_force()
    if settings.database_url:
        raise InputError(BY_SERVER.format(folder=settings.data_dir))
    restore_backup(file, settings.data_dir)
    with migrated(settings) as store:
        store.check_whole()
    done = f"restored into {settings.data_dir}; `deai verify` checks every number"
    return Answer({"restored": str(settings.data_dir)}, done)


def pack() -> Answer:
    """Put the answers of past days into one compressed container a source and day; nothing is lost.

    The scheduler does the same daily. May be interrupted; running again goes on. Example: deai archive pack
    """
    from indexer.live.audit import pack_answers
    from indexer.live.context import archive_of

    with opened() as (store, settings), progress("packing answers") as tick:
        report = pack_answers(store, archive_of(settings), before=utc_now(), progress=tick)

    def text() -> None:
        say(
            f"{report.answers:,} answers in {report.containers:,} containers: "
            f"{report.before_bytes:,} bytes of files became {report.after_bytes:,}"
        )

    return Answer(report, text)


def _ring() -> KeyRing:
    from api.middleware.keys import KeyRing

    return KeyRing(settings_in_force().data_dir / "keys.json")


def _shown(key: Key) -> dict[str, object]:
    """A key as it may be seen by anyone: without its hash."""
    names = ("prefix", "name", "scopes", "created_at", "expires_at", "revoked_at", "requests_per_minute")
    return {name: getattr(key, name) for name in names}


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "good" if key.is_good_at(now) else "expired"


def create(
    name: Annotated[str, typer.Argument(help="What or who it is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help="embed, read or admin; may be given twice.")] = ["read"],  # noqa: B006 - Typer copies it
    days: Annotated[int | None, typer.Option("--days", min=1, help="Expires after so many days.")] = None,
    per_minute: Annotated[int | None, typer.Option("--per-minute", min=1, help="Requests a minute of its own.")] = None,
) -> Answer:
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

    return Answer({**_shown(key), "key": text}, as_text)


def list_command() -> Answer:
    """List all keys, revoked ones too, without their secrets."""
    ring, now = _ring().all(), utc_now()
    headers = ("prefix", "name", "scopes", "state", "created", "expires", "a minute")

    def row(key: Key) -> tuple[object, ...]:
        expires = key.expires_at[:10] if key.expires_at else "never"
        scopes = ", ".join(key.scopes)
        return key.prefix, key.name, scopes, _state(key, now), key.created_at[:10], expires, key.requests_per_minute

    def text() -> None:
        if ring:
            table(headers, [row(key) for key in ring])
        else:
            say("no keys; `deai keys create NAME` makes one")

    return Answer([{**_shown(key), "state": _state(key, now)} for key in ring], text)


def link() -> Answer:
    """Print a link to the page that makes one browser the owner's, once and within an hour."""
    settings = settings_in_force()
    address = owner_link(settings, _ring())
    return Answer({"link": address}, address)


def owner_link(settings: Settings, ring: KeyRing) -> str:
    """The address of a new link; what the page is called from elsewhere the reader puts in front of it."""
    return f"http://{settings.host}:{settings.port}{settings.root_path}/owner?link={ring.new_link()}"


def revoke(
    prefix: Annotated[str, typer.Argument(help="The key's prefix, as `deai keys list` shows it.")],
) -> Answer:
    """Refuse a key from now on; running servers notice by themselves."""
    gone = _ring().revoke(prefix, now=utc_now())
    return Answer(_shown(gone), f"{gone.prefix} ({gone.name}) is revoked")


COMMANDS = (
    settings,
    clock,
    backup,
    restore,
    group("archive", "The archive of raw answers and imported files.", pack),
    group(
        "keys",
        "Make, list and revoke keys for those who use this server from elsewhere.",
        create,
        list_command,
        link,
        revoke,
    ),
)
