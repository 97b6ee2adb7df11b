"""The engine's test markets and the small index are backtested here."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("administration", "engine"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
