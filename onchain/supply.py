"""From readings to supply: total, what is not free, and the free float. Pure arithmetic on exact integers.

Rules: docs/onchain.md, "What is kept apart" and "Supply rules are data".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from onchain.errors import SupplyError
from onchain.tokens import COMPLETE, MISSING, ON_CHAIN, REPORTED, Leg, Read, Reading, Token


def free_float(
    *,
    total: int,
    burnt: int = 0,
    treasury: int = 0,
    other: int = 0,
    tranches: tuple[tuple[int, int], ...] = (),
) -> int:
    """total − burnt − Σ locked − max(0, treasury − Σ max(0, locked − held)) − other.

    `tranches` are (locked, held in the tranche's own contract): what is locked but not in its own contract still lies
    in the treasury, so it is not subtracted twice. Raises SupplyError when the result is negative.
    """
    locked = sum(amount for amount, _ in tranches)
    undistributed = sum(max(0, amount - held) for amount, held in tranches)
    free = total - burnt - locked - max(0, treasury - undistributed) - other
    if free < 0:
        raise SupplyError(
            f"more is excluded than exists: total {total}, burnt {burnt}, locked {locked}, treasury {treasury}, "
            f"other {other}; an exclusion or a schedule is wrong or counted twice"
        )
    return free


def float_band(ratio: float, *, previous: float | None = None) -> float:
    """The banded free-float factor: < 15 % → 0, 15–20 % → 0.2, then up to the next tenth, > 90 % → 1.

    With `previous`, the band stays while the ratio is within two points of that band's edges.
    Raises SupplyError outside 0…1.
    """
    if not 0.0 <= ratio <= 1.0 + 1e-12:
        raise SupplyError(f"a free-float ratio of {ratio} is not between 0 and 1")
    if previous is not None:
        low, high = _edges(previous)
        if low - 0.02 <= ratio <= high + 0.02:
            return previous
    if ratio < 0.15:
        return 0.0
    for band in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        if ratio <= band + 1e-12:
            return band
    return 1.0


def float_emergency(before: int, after: int, *, supply: int) -> bool:
    """Whether a float change exceeds three points of the current supply."""
    return supply > 0 and abs(after - before) * 100 > 3 * supply


def _edges(band: float) -> tuple[float, float]:
    if band == 0.0:
        return 0.0, 0.15
    if band == 0.2:
        return 0.15, 0.2
    return (0.9, 1.0) if band == 1.0 else (band - 0.1, band)


FLOAT_TOLERANCE = 0.10  # two figures of one float that differ by more are a finding
FLOAT_DIFFERS = "the free float by the chain"  # how the alert about it begins
SHOWN = frozenset({"staked"})  # components that are shown apart and stay float


@dataclass(frozen=True, slots=True)
class Supply:
    """A token's supply at one instant; amounts in base units of `decimals`, None where not known.

    `free_float` = total − burnt − locked vesting − treasury (without what vesting already counts) − lost − unclaimed
    − locked. `status`: on_chain, reported or missing, with `reason`. `alerts` are findings that need a person (an
    unbacked mint, counters that differ, a float over 10 % from the provider's); `warnings` are known gaps of the rule
    and what could not be shown or confirmed. `grade` is the rule's (docs/onchain.md).
    """

    symbol: str
    at: int
    decimals: int
    status: str
    reason: str = ""
    total: int | None = None
    burnt: int | None = None
    treasury: int | None = None
    vesting: int | None = None
    staked: int | None = None
    locked: int | None = None
    lost: int | None = None
    unclaimed: int | None = None
    bridge_escrow: int | None = None
    bridged: int | None = None
    legacy: int | None = None
    circulating_reported: int | None = None
    maximum: int | None = None
    free_float: int | None = None
    grade: str = ""
    readings: tuple[Reading, ...] = ()
    alerts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def outranks(self) -> bool:
        """Whether the free float goes before a provider's figure: its rule is complete, or there is no such figure."""
        return self.grade == COMPLETE or self.circulating_reported is None

    def tokens(self, name: str) -> float | None:
        """A component in whole tokens as float64; None where it is not known."""
        amount = getattr(self, name)
        return None if amount is None else float(amount) / 10.0**self.decimals


def reads_of(token: Token, at: int) -> Iterator[Read]:
    """Every read the token's rule needs for `at` (epoch seconds)."""
    for leg in token.legs:
        yield leg.read()
        for escrow in leg.escrow:
            yield escrow_read(token, leg, escrow.chain, escrow.holder)
    for exclusion in token.exclude:
        if exclusion.holds_at(at):
            yield exclusion.read()
    for tranche in token.vesting:
        if tranche.holder:
            home = token.legs[0]
            yield Read(home.chain, "balance", home.asset, home.decimals, tranche.holder)


def compute_supply(token: Token, readings: Mapping[Read, Reading], at: int, *, reported: float | None = None) -> Supply:
    """The supply of `token` at `at` from its readings; `reported` is a provider's circulating supply in tokens.

    A missing reading of a counted network leaves the total unknown (status reported or missing, with the reason); a
    missing exclusion leaves the free float unknown. Raises SupplyError when more is excluded than exists.
    """
    scale = token.scale
    base = Supply(
        token.symbol,
        at,
        scale,
        MISSING,
        circulating_reported=None if reported is None else round(reported * 10**6) * 10**scale // 10**6,
        maximum=None if token.maximum is None else token.maximum * 10**scale,
        grade=token.grade,
        readings=tuple(readings[r] for r in dict.fromkeys(reads_of(token, at)) if r in readings),
    )
    single = dict.fromkeys(r.read.chain for r in base.readings if r.amount is not None and len(r.agreed) == 1)
    alone = tuple(f"{chain}: read from one operator only, confirmed by none" for chain in single)
    base = replace(base, warnings=(*token.gaps, *alone))
    if not token.legs:
        return _without_network(token, base, scale)
    sums = Sums(token, readings, scale)
    try:
        base = replace(base, total=sums.total(), legacy=sums.legacy or None)
    except Unknown as unknown:
        status = REPORTED if base.circulating_reported is not None else MISSING
        return replace(base, status=status, reason=str(unknown))
    base = replace(base, bridge_escrow=sums.escrow or None, bridged=sums.bridged or None, alerts=tuple(sums.alerts))
    return _with_exclusions(token, readings, base)


def _with_exclusions(token: Token, readings: Mapping[Read, Reading], base: Supply) -> Supply:
    assert base.total is not None
    scale, unknown = base.decimals, ""
    parts: dict[str, int] = {}
    unshown: list[str] = []
    for exclusion in token.exclude:
        if not exclusion.holds_at(base.at):
            continue
        try:
            parts[exclusion.component] = parts.get(exclusion.component, 0) + scaled(readings, exclusion.read(), scale)
        except Unknown as error:
            if exclusion.component in SHOWN:
                unshown.append(f"{exclusion.component} not read: {error}")
            else:
                unknown = f"free float unknown: {exclusion.component}: {error}"
    tranches = []
    for tranche in token.vesting:
        locked = round(tranche.amount * tranche.locked(base.at) * 10**6) * 10**scale // 10**6
        home = token.legs[0]
        held = Read(home.chain, "balance", home.asset, home.decimals, tranche.holder)
        try:
            tranches.append((locked, scaled(readings, held, scale) if tranche.holder else 0))
        except Unknown as error:
            unknown = f"free float unknown: vesting {tranche.name}: {error}"
    if token.vesting:
        parts["vesting"] = parts.get("vesting", 0) + sum(locked for locked, _ in tranches)
    base = replace(base, warnings=(*base.warnings, *unshown))
    filled = replace(base, status=ON_CHAIN, reason=unknown, **parts)  # type: ignore[arg-type]  # names are COMPONENTS
    if unknown:
        return filled
    try:
        free = _free(base, parts, tranches)
    except SupplyError as error:
        return replace(filled, reason=f"free float unknown: {error}", alerts=(*filled.alerts, str(error)))
    return _held_against(replace(filled, free_float=free))


def _held_against(supply: Supply) -> Supply:
    """The same supply, with an alert where its free float is far from the provider's figure."""
    free, other = supply.tokens("free_float"), supply.tokens("circulating_reported")
    if free is None or not other or abs(free / other - 1.0) <= FLOAT_TOLERANCE:
        return supply
    taken = "the chain's" if supply.outranks else "the provider's"
    text = (
        f"{FLOAT_DIFFERS} ({free:,.0f}, rule: {supply.grade}) is {free / other - 1.0:+.1%} from the "
        f"provider's {other:,.0f}; {taken} is used"
    )
    return replace(supply, alerts=(*supply.alerts, text))


def _free(base: Supply, parts: Mapping[str, int], tranches: list[tuple[int, int]]) -> int:
    assert base.total is not None
    other = sum(parts.get(name, 0) for name in ("locked", "lost", "unclaimed"))
    other += parts.get("vesting", 0) - sum(locked for locked, _ in tranches)
    return free_float(
        total=base.total,
        burnt=parts.get("burnt", 0),
        treasury=parts.get("treasury", 0),
        other=other,
        tranches=tuple(tranches),
    )


def _without_network(token: Token, base: Supply, scale: int) -> Supply:
    if token.fixed is not None:
        return replace(
            base, status=REPORTED, total=token.fixed * 10**scale, reason=f"fixed by protocol: {token.reported_reason}"
        )
    status = REPORTED if base.circulating_reported is not None else MISSING
    return replace(base, status=status, reason=token.reported_reason)


class Unknown(Exception):  # noqa: N818 - reads as a state
    """A reading that is needed is missing; the text says which and why."""


@dataclass(slots=True)
class Sums:
    """What a token's networks add up to, in base units of `scale` decimals; `total` fills the rest."""

    token: Token
    readings: Mapping[Read, Reading]
    scale: int
    escrow: int = 0
    bridged: int = 0
    legacy: int = 0
    alerts: list[str] = field(default_factory=list)

    def total(self) -> int:
        """Coins that exist once each. Fills escrow, bridged, legacy and alerts on the way.

        Raises Unknown for a counted network without a reading, SupplyError when more is locked than exists.
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
                f"(base units of {self.scale} decimals): a network is counted twice or the maximum has changed"
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
    """The balance of an escrow: of this leg's own asset, or of the token's asset on the escrow's chain."""
    asset = leg if leg.chain == chain else next((other for other in token.legs if other.chain == chain), leg)
    return Read(chain, "balance", asset.asset, asset.decimals, holder)
