"""Fixtures of the chain tests: real nodes through the chain reader's own test kit, and a store with a market."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "onchain"))

from chainkit import GENESIS, World, world_on
from evmkit import Node


@pytest.fixture
def nodes() -> Iterator:
    """Factory of anvil nodes whose clock begins at GENESIS: nodes(chain_id); all are stopped at the end."""
    running: list[Node] = []

    def start(chain_id: int, *, epoch: int = 1) -> Node:
        node = Node(chain_id, "--timestamp", str(GENESIS), epoch=epoch)
        running.append(node)
        node.multicall3()
        node.mine(5)
        return node

    yield start
    for node in running:
        node.close()


@pytest.fixture
def world(nodes, tmp_path) -> Iterator[World]:
    """Two chains with a token each, a third token on none, an index of the three, and a store with their market."""
    made = world_on(nodes(31337), nodes(8453), tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def dark(tmp_path) -> Iterator[World]:
    """The same world with nobody answering for its chains."""
    (tmp_path / "dark").mkdir()
    made = world_on(None, None, tmp_path / "dark")
    yield made
    made.store.close()
