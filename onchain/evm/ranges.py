"""How many blocks to ask one endpoint for: learned from what it serves and from what it says. Pure.

Place in the flow: `logs.LogScan` keeps one `RangeSize` per endpoint and stores it with its checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from onchain.errors import ScanError, range_hint

TARGET_LOGS = 5_000


@dataclass(slots=True)
class RangeSize:
    """The next range is `step` blocks, at most `ceiling`. `named` is a limit the endpoint stated: kept for good.

    Without a stated limit the ceiling falls to the last good size after two refusals, and is tried again twice as
    high only after `patience` calm ranges, each time more rarely: no doubling into the same wall every other request.
    """

    step: int = 10_000
    ceiling: int = 100_000
    named: int | None = None
    good: int = 0  # largest size that was served since the last change of the ceiling
    refusals: int = 0
    calm: int = 0
    patience: int = 16

    def succeeded(self, size: int, logs: int) -> None:
        """A range of `size` blocks came back whole with `logs` entries."""
        self.good = max(self.good, size)
        if logs > TARGET_LOGS:
            self.step = max(1, size // 2)
        elif logs < TARGET_LOGS // 2:
            if self.step < self.ceiling:
                self.step = min(2 * self.step, self.ceiling)
            elif self.named is None and self.refusals:
                self.calm += 1
                if self.calm >= self.patience:
                    self.ceiling *= 2
                    self.step, self.calm, self.patience = self.ceiling, 0, self.patience * 2

    def refused(self, first: int, size: int, message: str) -> None:
        """A range of `size` blocks from `first` was too big. Raises ScanError for a single block: never dropped."""
        if size <= 1:
            raise ScanError(f"block {first} alone is too big for the endpoint: {message}")
        blocks, last = range_hint(message)
        if blocks is not None and blocks < size:
            self.named = self.ceiling = blocks
            self.step = blocks
        elif last is not None and first <= last < first + size - 1:
            self.step = last - first + 1
        else:
            self.refusals += 1
            self.step = size // 2
            if self.refusals >= 2:
                self.ceiling = self.good if 0 < self.good < size else size // 2
                self.step = min(self.step, self.ceiling)
        self.calm = 0
        self.good = min(self.good, self.step)
