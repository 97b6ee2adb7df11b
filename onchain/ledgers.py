"""A token's ledgers added up: what counts once, what only stands for coins elsewhere, what does not fit. Pure.

Place in the flow: under `supply`. Rules: ONCHAIN §4 (lock-and-mint, burn-and-mint, roll-ups, migrations).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from onchain.errors import SupplyError
from onchain.readings import Read, Reading
from onchain.tokens import Leg, Token


class Unknown(Exception):  # noqa: N818 - reads as a state
    """A reading that is needed is missing; the text says which and why."""


@dataclass(slots=True)
class Sums:
    """What a token's ledgers add up to, in base units of `scale` decimals; `total` fills the rest."""

    token: Token
    readings: Mapping[Read, Reading]
    scale: int
    escrow: int = 0
    bridged: int = 0
    legacy: int = 0
    alerts: list[str] = field(default_factory=list)

    def total(self) -> int:
        """Coins that exist once each. Fills escrow, bridged, legacy and alerts on the way.

        Raises Unknown for a counted ledger without a reading, SupplyError when more is locked than exists.
        """
        counted = sum(self._counted(leg) for leg in self.token.legs if leg.role not in {"bridged", "check"})
        for leg in self.token.legs:
            if leg.role == "bridged":
                self._backing(leg)
            elif leg.role == "check":
                self._compare(leg, counted)
        self._bound(counted)
        return counted

    def _counted(self, leg: Leg) -> int:
        amount, held = self._amount(leg.read()), self._held(leg)
        if leg.role == "rollup":
            self.escrow += held
            return max(0, amount - held)
        if held > amount:
            what = "legacy tokens are" if leg.role == "legacy" else "is"
            raise SupplyError(f"{self.token.symbol}: more {what} locked than exist on {leg.chain}: {held} of {amount}")
        if leg.role != "legacy":
            return amount - held
        rest = int(Fraction(str(leg.ratio)) * (amount - held))
        self.legacy += rest
        return rest

    def _backing(self, leg: Leg) -> None:
        """Minted on the remote ≤ locked at home, where the lock is known and both were read."""
        try:
            minted = self._amount(leg.read())
            held = self._held(leg)
        except Unknown as unknown:
            if leg.escrow:  # elsewhere there is nothing to hold it against
                self.alerts.append(f"backing of {leg.chain} not checked: {unknown}")
            return
        self.bridged += minted
        self.escrow += held
        if leg.escrow and minted > held:
            self.alerts.append(
                f"unbacked mint: {minted} of {self.token.symbol} on {leg.chain}, {held} locked "
                f"({minted - held} base units of {self.scale} decimals too many)"
            )

    def _compare(self, leg: Leg, counted: int) -> None:
        try:
            other = self._amount(leg.read())
        except Unknown as unknown:
            self.alerts.append(f"{leg.chain} {leg.what} not compared: {unknown}")
            return
        if abs(other - counted) * 200 > counted:
            self.alerts.append(f"{leg.chain} {leg.what} says {other}, {counted} are counted: over 0.5 % apart")

    def _bound(self, counted: int) -> None:
        """More than can ever exist is a finding."""
        most = None if self.token.maximum is None else self.token.maximum * 10**self.scale
        if most is not None and counted > most:
            self.alerts.append(
                f"{counted} of {self.token.symbol} exist, at most {most} can by its rule "
                f"(base units of {self.scale} decimals): a ledger is counted twice or the maximum has changed"
            )

    def _held(self, leg: Leg) -> int:
        return sum(self._amount(escrow_read(self.token, leg, e.chain, e.holder)) for e in leg.escrow)

    def _amount(self, read: Read) -> int:
        return scaled(self.readings, read, self.scale)


def scaled(readings: Mapping[Read, Reading], read: Read, scale: int) -> int:
    """The amount of a reading in base units of `scale` decimals. Raises Unknown with its reason where there is none."""
    reading = readings.get(read)
    if reading is None or reading.amount is None:
        why = reading.reason if reading else "not read"
        raise Unknown(f"{read.what} of {read.asset} on {read.chain}: {why}")
    return int(reading.amount * 10 ** (scale - read.decimals))


def escrow_read(token: Token, leg: Leg, chain: str, holder: str) -> Read:
    """The balance of an escrow: of this leg's own asset, or of the token's ledger on the escrow's chain."""
    asset = leg if leg.chain == chain else next((other for other in token.legs if other.chain == chain), leg)
    return Read(chain, "balance", asset.asset, asset.decimals, holder)
