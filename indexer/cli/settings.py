"""`deai settings`: every setting, its value and what it does; the same table is docs/settings.md."""

from __future__ import annotations

import html
import re
from typing import Annotated, Any

import typer

HEAD = """# Settings

Environment variables, or lines of a file `.env` in the folder you start in. None is needed. An unknown `DEAI_…` name
is refused with the nearest known one. `deai settings` prints what is in force. This page is made from
`indexer/config.py`.

| setting | default | what it does |
| --- | --- | --- |
"""


def register(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command()(settings)


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="The page of the documentation instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Every setting, the value in force and what it does; secrets are not shown."""
    from indexer.cli.command import emit, say
    from indexer.config import Settings, load_settings

    if markdown:
        say(HEAD + "\n".join(_row(name, field) for name, field in Settings.model_fields.items()))
        return
    current = load_settings()
    rows = [
        {"name": f"DEAI_{name.upper()}", "value": _shown(getattr(current, name)), "description": field.description}
        for name, field in Settings.model_fields.items()
    ]
    emit(
        rows,
        as_json=as_json,
        text=lambda: say("\n".join(f"{row['name']}={row['value']}\n    {row['description']}" for row in rows)),
    )


def _row(name: str, field: Any) -> str:
    shown = _shown(field.default)
    return f"| `DEAI_{name.upper()}` | {f'`{shown}`' if shown else ''} | {html.escape(str(field.description))} |"


def _shown(value: object) -> str:
    """The value as one would set it; a secret, and the password in an address, as stars."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(value))
