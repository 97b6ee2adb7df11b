"""The engine's test markets are used here too; the real history is that of the pipeline's tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
