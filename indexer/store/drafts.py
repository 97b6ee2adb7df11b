"""A file that takes its place whole or not at all: written beside it first, under a name of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.errors import DeaiError, InputError


@contextmanager
def draft(
    path: Path, *, mode: int = 0o644, folder: bool = False, error: type[DeaiError] = InputError
) -> Iterator[Path]:
    """A new file beside `path`, which takes its place on disk when the block ends well, and is gone when it does not.

    Each draft has another name, so two processes that write the same file do not meet: the later one stays.
    `folder` makes the folder if it is not there. Raises `error`, with the place, where it or the block cannot write.
    """
    part: Path | None = None
    try:
        if folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        os.close(handle)
        part = Path(name)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(mode)
        part.replace(path)
    except OSError as reason:
        raise error(f"{path} cannot be written: {reason.strerror or reason}; choose another place") from reason
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
