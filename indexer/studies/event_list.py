"""The events there are: the shipped ones, and the user's own beside the store."""

from __future__ import annotations

from pathlib import Path

from indexer.analytics.catalogue import Event, packaged_text, parse_events
from indexer.errors import MethodologyError

OWN_FILE = "events.toml"


def load_events(data_dir: Path | None = None) -> dict[str, Event]:
    """The shipped events, and those of `events.toml` in the data directory where there is one, in order of time.

    Raises MethodologyError naming the file, the entry and what is wrong, or an id that is taken.
    """
    events = parse_events(packaged_text(OWN_FILE))
    path = None if data_dir is None else data_dir / OWN_FILE
    if path is None or not path.exists():
        return events
    try:
        own = parse_events(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, MethodologyError) as error:
        raise MethodologyError(f"{path}: {error}") from None
    if taken := sorted(own.keys() & events.keys()):
        raise MethodologyError(f'{path}: the event id "{taken[0]}" is a shipped one; choose another')
    return dict(sorted({**events, **own}.items(), key=lambda item: item[1].at_us))
