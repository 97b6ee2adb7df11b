"""Where npm is missing the real-node tests skip and say that they did not run."""

from __future__ import annotations

from pathlib import Path

import evmkit
import pytest


def test_missing_npm_skips_loudly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(evmkit, "CACHE", tmp_path)
    monkeypatch.setattr(evmkit.shutil, "which", lambda name: None)
    monkeypatch.delenv("ANVIL_BIN", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"npm is missing.*EVM tests did NOT run"):
        evmkit.anvil_binary()
