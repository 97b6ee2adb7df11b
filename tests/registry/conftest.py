"""Names of the tokens that the shipped registry knows."""

from __future__ import annotations

import pytest

from indexer.registry import load_registry


@pytest.fixture(scope="session")
def registry_slugs() -> set[str]:
    return {asset.slug for asset in load_registry().assets}
