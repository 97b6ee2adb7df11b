"""A file takes its place whole or not at all, whoever else writes it."""

from pathlib import Path

import pytest

from indexer.errors import InputError, StoreError
from indexer.store.drafts import draft


def test_two_that_write_one_file_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "head"
    with draft(path) as outer:
        outer.write_text("first begun")
        with draft(path) as inner:
            inner.write_text("first done")
        assert path.read_text() == "first done"
    assert path.read_text() == "first begun"
    assert [file.name for file in tmp_path.iterdir()] == ["head"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "head"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), draft(path) as part:
        part.write_text(str(1 // 0))
    with (
        pytest.raises(StoreError, match=r"head cannot be written: No space left"),
        draft(path, error=StoreError) as part,
    ):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["head"]


def test_a_folder_is_made_only_where_that_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "new" / "head"
    with pytest.raises(InputError, match=r"head cannot be written: No such file"), draft(path):
        pass
    with draft(path, folder=True, mode=0o600) as part:
        part.write_text("here")
    assert path.read_text() == "here"
    assert path.stat().st_mode & 0o777 == 0o600
