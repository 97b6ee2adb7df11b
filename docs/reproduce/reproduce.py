"""A third calculator: an index over all its history from the API's CSV and its methodology file, and its betas.

    pip install pandas statsmodels
    python reproduce.py http://127.0.0.1:8000 deai deai-ew

It imports nothing of the index's own program and follows docs/methodology.md. It says how far it is from what is
published, and ends with 1 when that is more than one part in 10⁹.
"""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import dataclass, field
from urllib.request import urlopen

import numpy as np
import pandas as pd
import statsmodels.api as sm

TOLERANCE = 1e-9
HOUR, DAY = pd.Timedelta(hours=1).value, pd.Timedelta(days=1).value  # nanoseconds, as all times here
NEVER = np.iinfo(np.int64).max
HEALTH = {"max_carried_weight": 0.25, "impaired_days": 14, "min_priced_weight": 0.75}  # where a file does not say
CHOICES = [  # what a supply is taken from, the best first
    ("on_chain", "free_float"), ("reported", "circulating"), ("imported", "circulating"), ("imported", "free_float"),
]  # fmt: skip
TABLES: dict[str, pd.DataFrame] = {}


def table(address: str) -> pd.DataFrame:
    """A CSV of the API, its times as nanoseconds; read once."""
    if address not in TABLES:
        frame = pd.read_csv(address)
        for name in frame.columns.intersection(
            ["time", "observed_at", "end", "start", "line_from", "line_until", "candidate_from", "effective", "until"]
        ):
            frame[name] = instants(frame[name])
        TABLES[address] = frame
    return TABLES[address]


def instants(column: pd.Series) -> pd.Series:
    """Nanoseconds of times as text, -1 where there is none."""
    times = pd.to_datetime(column, utc=True, format="ISO8601").dt.tz_localize(None).astype("datetime64[ns]")
    return times.astype("int64").where(times.notna(), -1)


@dataclass
class History:
    """Values by instant, ascending."""

    times: np.ndarray
    values: np.ndarray

    def newest(self, at: int, max_age: int) -> float:
        """The last value at or before an instant, NaN when it is too old or there is none."""
        row = int(np.searchsorted(self.times, at, side="right")) - 1
        return float(self.values[row]) if row >= 0 and at - self.times[row] <= max_age else np.nan

    def last_time(self, at: int) -> int:
        """When the last value at or before an instant was true, -1 where there is none."""
        row = int(np.searchsorted(self.times, at, side="right")) - 1
        return int(self.times[row]) if row >= 0 else -1


@dataclass
class Line:
    """A token through its migrations: prices and supplies in units of its last token."""

    sub_sector: str
    candidate_from: int
    successor_since: int
    parts: pd.DataFrame  # asset, line_ratio, line_from, line_until
    rates: pd.DataFrame  # price and whether it is carried, by instant
    days: pd.DataFrame  # traded_value_usd and venues, by the end of the day
    supplies: list[tuple[History, History]]  # of each of CHOICES: supply, total
    prices: History = field(init=False)

    def __post_init__(self) -> None:
        self.prices = History(self.rates.index.to_numpy(), self.rates["price"].to_numpy())


def lines_of(base: str, rules: dict) -> dict[str, Line]:
    """The candidates: the lines of the universe, with every fact about them."""
    assets, universe = table(f"{base}/v1/assets.csv"), rules.get("universe", {})
    if "assets" in universe:
        chosen = assets["asset"].isin(universe["assets"])
    else:
        chosen = assets["status"].isin(universe.get("statuses", ["core", "watch", "special", "legacy"]))
        if "sub_sectors" in universe:
            chosen &= assets["sub_sector"].isin(universe["sub_sectors"])
    out = assets.loc[assets["asset"].isin(universe.get("exclude", [])), "line"]
    names = [name for name in assets.loc[chosen, "line"].unique() if name not in set(out)]
    lines = {name: line_of(base, assets[assets["line"] == name], rules) for name in names}
    return {name: line for name, line in lines.items() if len(line.rates)}


def line_of(base: str, parts: pd.DataFrame, rules: dict) -> Line:
    """One line: each of its tokens for the time in which it stands for the line."""
    rates, days, supplies = [], [], []
    for part in parts.itertuples():
        until = part.line_until if part.line_until >= 0 else NEVER
        here = f"{base}/v1/assets/{part.asset}"
        own = table(f"{here}/rates.csv")
        own = own[~own["perpetual"].astype(bool) | stands_in(own["time"], rules)].set_index("time")
        carried = own["status"].isin(["carried", "suspended"])
        own = pd.DataFrame({"price": own["rate"].astype(float) / part.line_ratio, "carried": carried})
        rates.append(own[(own.index >= part.line_from) & (own.index < until)])
        traded = table(f"{here}/traded-value.csv").set_index("end")
        futures = (traded["venues"] == 0) & stands_in(traded.index.to_series() - 1, rules)
        traded = traded.assign(venues=traded["venues"].where(~futures, traded["perpetual_venues"]))
        days.append(traded[(traded.index - 1 >= part.line_from) & (traded.index - 1 < until)])
        known = in_force(base, part.asset)
        known = known[(known["observed_at"] >= part.line_from) & (known["observed_at"] < until)]
        supplies.append(known.assign(tokens=known["tokens"] * part.line_ratio))
    last = parts.iloc[-1]
    since = int(last.line_from) if len(parts) > 1 else NEVER
    facts = pd.concat(rates), pd.concat(days), weighed(pd.concat(supplies))
    return Line(last.sub_sector, max(int(last.candidate_from), 0), since, parts, *facts)


def stands_in(times: pd.Series, rules: dict) -> pd.Series:
    """Which instants lie in the windows in which a perpetual may stand in for spot."""
    inside = pd.Series(False, index=times.index)
    for window in rules.get("perpetual_fallback", []):
        start, until = (pd.Timestamp(window[name]).value for name in ("effective_from", "until"))
        inside |= (times >= start) & (times < until)
    return inside


def in_force(base: str, asset: str) -> pd.DataFrame:
    """The readings that count, less what corporate actions take off a float."""
    known = table(f"{base}/v1/assets/{asset}/supplies.csv")
    known = known[known["counts"].astype(bool)].copy()
    actions = table(f"{base}/v1/actions.csv")
    for action in actions[actions["kind"].isin(["partial_migration", "departure"])].itertuples():
        until = action.until if action.until >= 0 else NEVER
        touched = (known["observed_at"] >= action.effective) & (known["observed_at"] < until)
        if action.into == asset and not np.isnan(action.unconverted):
            floats = touched & known["kind"].isin(["circulating", "free_float"])
            known.loc[floats, "tokens"] -= action.unconverted * action.ratio
    return known[known["tokens"] > 0]


def weighed(readings: pd.DataFrame) -> list[tuple[History, History]]:
    """The figures to weigh by, the best first, each with the totals that exist (burnt tokens off) of its origin."""
    wide = readings.pivot_table(index=["origin", "observed_at"], columns="kind", values="tokens", aggfunc="last")
    wide = wide.reindex(columns=["circulating", "free_float", "total", "burnt"])
    wide["total"] -= wide["burnt"].fillna(0)
    return [(positive(wide[kind], origin), positive(wide["total"], origin)) for origin, kind in CHOICES]


def positive(values: pd.Series, origin: str) -> History:
    """The values of one origin above 0."""
    own = values[(values > 0) & (values.index.get_level_values("origin") == origin)].droplevel("origin")
    return History(own.index.to_numpy(dtype=np.int64), own.to_numpy())


def supply_at(line: Line, at: int, max_age: int) -> tuple[float, float, int]:
    """Supply, total, and when the supply was true: the best kind that has a reading which is not too old."""
    for supplies, totals in line.supplies:
        supply, total = supplies.newest(at, max_age), totals.newest(at, max_age)
        if not np.isnan(supply):
            return supply, total if not np.isnan(total) else any_total(line, at, max_age), supplies.last_time(at)
    return np.nan, np.nan, at


def any_total(line: Line, at: int, max_age: int) -> float:
    """The newest total of whatever origin."""
    return max((totals for _, totals in line.supplies), key=lambda one: one.last_time(at)).newest(at, max_age)


@dataclass
class Seen:
    """What is known of a line at a reference date."""

    price: float
    supply: float
    share: float  # of the total that is free

    @property
    def cap(self) -> float:
        """Free-float capitalisation in USD."""
        return self.price * self.supply


def look(line: Line, reference: int, rule: dict, member: bool) -> Seen:
    """Price and supply as known at a reference instant; a newcomer's supply may not be as old as a member's."""
    supply, total, true_at = supply_at(line, reference, supply_age(rule))
    if not member and reference - true_at > rule["supply_max_age_days"] * DAY:
        supply = np.nan
    return Seen(line.prices.newest(reference, rule["price_max_age_hours"] * HOUR), supply, min(supply / total, 1.0))


def supply_age(rule: dict) -> int:
    """How old a reading may be at all."""
    return rule.get("incumbent_supply_max_age_days", rule["supply_max_age_days"]) * DAY


def passes(line: Line, seen: Seen, reference: int, rule: dict, member: bool) -> bool:
    """Every test of eligibility. What is not known of trading forgives a member and refuses a newcomer."""
    migrated = line.successor_since <= reference
    history = rule["successor_min_history_days" if migrated else "min_history_days"]
    old_enough = reference - line.prices.times[0] >= history * DAY
    window = line.days[(line.days.index > reference - rule["adv_window_days"] * DAY) & (line.days.index <= reference)]
    venues = window["venues"].max() >= rule["incumbent_min_venues" if member else "min_venues"]
    floats = np.isnan(seen.share) or seen.share >= rule["min_free_float"]
    price_age, oldest = rule["price_max_age_hours"] * HOUR, supply_age(rule)
    traded = window["traded_value_usd"].dropna()
    caps = [line.prices.newest(day, price_age) * supply_at(line, day, oldest)[0] for day in traded.index]
    turnover = 365 * (traded / caps).dropna()

    def enough(values: pd.Series, least: float) -> bool:
        if len(values) < rule["adv_min_days"]:
            return member and rule["unknown_volume"] == "keep_incumbents"
        return values.median() >= least

    return bool(
        old_enough
        and venues
        and floats
        and enough(traded, rule["min_median_adv_usd"])
        and enough(turnover, rule["min_atvr"])
    )


def choose(lines: dict[str, Line], rules: dict, reference: int, members: set[str], review: bool) -> dict[str, Seen]:
    """The members of a date: at a review by rank with buffers, else those there are while they can be measured."""
    dated = [rule for rule in rules["eligibility"] if pd.Timestamp(rule["effective_from"]).value <= reference]
    rule = dated[-1] if dated else rules["eligibility"][0]
    named = bool(rules.get("universe", {}).get("assets"))
    pool = [name for name in lines if named or lines[name].candidate_from <= reference] if review else sorted(members)
    seen = {name: look(lines[name], reference, rule, name in members) for name in pool}
    seen = {name: one for name, one in seen.items() if not np.isnan(one.cap)}
    if not review:
        return seen
    ranked = sorted(
        (name for name, one in seen.items() if passes(lines[name], one, reference, rule, name in members)),
        key=lambda name: (-seen[name].cap, name),
    )
    picks = rules["selection"]
    between = ranked[picks["entry_rank"] : picks["exit_rank"]]
    waiting = [name for name in between if name in members] + [name for name in between if name not in members]
    entry = ranked[: picks["entry_rank"]]
    return {name: seen[name] for name in entry + waiting[: max(picks["target"] - len(entry), 0)]}


def weights_of(seen: dict[str, Seen], lines: dict[str, Line], rules: dict) -> pd.Series | None:
    """Weights λ·size held under the caps of tokens and of sub-sectors, None where they cannot hold all of it."""
    scheme, caps = rules["weighting"]["scheme"], rules.get("caps", {})
    if scheme not in ("free_float_cap", "sqrt_cap", "equal") or set(caps) - {"single", "group", "relax"}:
        raise SystemExit(f"{rules['id']}: this script knows no {scheme} with caps {sorted(caps)}")
    power = {"free_float_cap": 1.0, "sqrt_cap": 0.5, "equal": 0.0}[scheme]
    size = pd.Series({name: one.cap**power for name, one in seen.items()})
    size /= size.sum()
    sector = pd.Series({name: lines[name].sub_sector for name in seen})
    single, group = caps.get("single", 1.0), caps.get("group", 1.0)
    counts = sector.value_counts()
    if caps.get("relax"):
        single = max(single, 1 / len(size))
        group = max(group, level(lambda bound: (counts * single).clip(upper=bound).sum(), 1.0))
    if (counts * single).clip(upper=group).sum() < 1 - 1e-12:
        return None

    def inside(factor: float, members: pd.Series) -> float:
        return (factor * members).clip(upper=single).sum()

    groups = [size[sector == name] for name in counts.index]
    common = level(lambda factor: sum(min(inside(factor, members), group) for members in groups), 1.0)
    factor = pd.Series(common, index=size.index)
    for members in groups:
        if inside(common, members) > group:
            factor[members.index] = level(lambda own, members=members: inside(own, members), group)
    return (factor * size).clip(upper=single)


def level(total, wanted: float) -> float:
    """Where a rising total reaches what is wanted (to rounding), by doubling and halving."""
    low, high = 0.0, 1.0
    while total(high) < wanted - 1e-15 and high < 1e300:
        low, high = high, high * 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if total(middle) < wanted - 1e-15 else (low, middle)
    return high


def dates_of(rules: dict, last: int) -> list[tuple[int, bool, bool]]:
    """(effective instant, whether scheduled, whether members are reviewed) of the base and of every month after it."""
    schedule, base = rules["schedule"], pd.Timestamp(rules["base_date"])
    if "weekday" in schedule or schedule.get("transition_fixings", 1) != 1:
        raise SystemExit(f"{rules['id']}: this script knows no weekly schedule and no transition")
    months = pd.date_range(base, pd.Timestamp(last, tz="UTC"), freq="MS") + pd.Timedelta(
        days=schedule["effective_day"] - 1
    )
    later = [
        (day.value, day.month in schedule["rebalance_months"], day.month in schedule["reconstitution_months"])
        for day in months
        if day > base
    ]
    return [(base.value, True, True), *later]


class Book:
    """What is held, walked forward one instant at a time."""

    def __init__(self, lines: dict[str, Line], rules: dict, actions: pd.DataFrame) -> None:
        self.lines, self.rules = lines, rules
        self.actions = list(actions[actions["kind"].isin(["merger", "delisting"])].itertuples())
        self.health = HEALTH | rules.get("health", {})
        self.needed = rules["selection"]["min_constituents"]
        self.carry = rules["missing"]["max_carry_hours"] * HOUR
        self.price: dict[str, float] = {}
        self.seen: dict[str, int] = {}
        self.old: set[str] = set()
        self.units: dict[str, float] = {}
        self.divisor = 0.0
        self.levels: dict[int, float] = {}
        self.heavy = False  # too much carried at the last 00:00 UTC
        self.days = 0  # impaired levels of 00:00 UTC in a row
        self.spells: list[list[int]] = []  # begin and end of being impaired or suspended
        self.stopped: tuple[int, float] | None = None  # when suspended, and the last level

    def value(self, units: dict[str, float]) -> float:
        """USD of units at the last prices."""
        return sum(self.price[name] * amount for name, amount in units.items())

    def change(self, units: dict[str, float], now: int) -> None:
        """New units at the same level: the divisor takes the difference."""
        if self.units:
            self.divisor *= self.value(units) / self.value(self.units)
        self.units = units
        self.note(now)

    def note(self, now: int) -> None:
        """Begins or ends a spell of impairment."""
        impaired = self.heavy or len(self.units) < self.needed
        if not self.spells or len(self.spells[-1]) == 2:
            if impaired:
                self.spells.append([now])
        elif not impaired:
            self.spells[-1].append(now)

    def publish(self, now: int) -> None:
        """The level of what is held into this instant, where there is one; suspends after too many bad days."""
        if not self.units or self.stopped:
            return
        worth = self.value(self.units)
        value = worth / self.divisor
        carried = self.value({name: amount for name, amount in self.units.items() if name in self.old}) / worth
        midnight = now % DAY == 0
        if midnight:
            self.heavy = carried > self.health["max_carried_weight"] + TOLERANCE
            self.note(now)
            self.days = self.days + 1 if self.heavy or len(self.units) < self.needed else 0
        if midnight or carried <= 1 - self.health["min_priced_weight"] + TOLERANCE:
            self.levels[now] = value
        if midnight and self.days == self.health["impaired_days"]:
            self.stopped = (now, value)

    def drop_stale(self, now: int) -> None:
        """Members whose last price is too old leave at it, unless all would."""
        rest = {name: amount for name, amount in self.units.items() if now - self.seen[name] <= self.carry}
        if rest and len(rest) < len(self.units) and not self.stopped:
            self.change(rest, now)

    def act(self, now: int) -> None:
        """Mergers and delistings that are due."""
        while self.actions and self.actions[0].effective <= now:
            action = self.actions.pop(0)
            line, into = self.line_of(action.asset), self.line_of(action.into)
            if line is None or line not in self.units or self.stopped:
                continue
            units = {name: amount for name, amount in self.units.items() if name != line}
            usable = into in self.price and now - self.seen[into] <= self.carry
            if action.kind == "merger" and action.treatment == "absorb" and usable:
                ratio = action.ratio * self.ratio_of(action.into) / self.ratio_of(action.asset)
                units[into] = units.get(into, 0.0) + self.units[line] * ratio
            if not units:
                continue
            worth, lost = self.value(self.units), 0.0
            if not np.isnan(action.value):  # what the event states, instead of the last price
                lost = self.units[line] * (self.price[line] - action.value / self.ratio_of(action.asset))
            self.change(units, now)
            self.divisor *= worth / (worth - lost)

    def line_of(self, asset: str) -> str | None:
        """The line that a token belongs to."""
        return next((name for name, line in self.lines.items() if asset in set(line.parts["asset"])), None)

    def ratio_of(self, asset: str) -> float:
        """Units of the line's token for one of this token."""
        parts = self.lines[self.line_of(asset)].parts
        return parts.set_index("asset")["line_ratio"][asset]

    def review(self, now: int, date: tuple[int, bool, bool]) -> None:
        """One date: members and weights by what was known at its reference instant, held from now on."""
        effective, scheduled, review = date
        reference, based = effective - self.rules["schedule"]["reference_days_before"] * DAY, bool(self.units)
        anew = based and self.was_impaired(reference)
        if not (anew or scheduled) or (self.stopped and not anew):
            return
        silent = self.stopped is not None and self.stopped[0] < now
        full = review or anew or not based
        for every in (True, False) if full and based and not self.stopped else (full,):
            seen = choose(self.lines, self.rules, reference, set(self.units), every)
            seen = {name: one for name, one in seen.items() if now - self.seen.get(name, -NEVER // 2) <= self.carry}
            weights = weights_of(seen, self.lines, self.rules) if len(seen) >= self.needed else None
            if weights is None:
                continue
            scale = sum(self.price[name] * one.supply for name, one in seen.items())
            if not based or silent:
                self.divisor = scale / (self.stopped[1] if self.stopped else self.rules["base_level"])
                self.units = {}
            if self.stopped:
                self.stopped, self.heavy, self.days = None, False, 0
                self.spells[-1].append(now)
            self.change({name: weights[name] * scale / self.price[name] for name in sorted(seen)}, now)
            if not based or silent:
                self.publish(now)
            return

    def was_impaired(self, reference: int) -> bool:
        """Whether the index was impaired or suspended on the day of a reference date."""
        return any(spell[0] < reference + DAY and (len(spell) == 1 or spell[1] > reference) for spell in self.spells)


def midnights(base: str) -> pd.Index:
    """Every 00:00 UTC at which any token at all has a rate."""
    times = [table(f"{base}/v1/assets/{asset}/rates.csv")["time"] for asset in table(f"{base}/v1/assets.csv")["asset"]]
    known = pd.Index(pd.concat(times).unique()).sort_values()
    return known[known % DAY == 0]


def walk(lines: dict[str, Line], rules: dict, actions: pd.DataFrame, days: pd.Index) -> pd.Series:
    """Published levels by instant: those at which a line has a rate, and from the first on every 00:00 UTC."""
    prices = pd.DataFrame({name: line.rates["price"] for name, line in lines.items()})
    carried = pd.DataFrame({name: line.rates["carried"] for name, line in lines.items()}).reindex(prices.index)
    named = bool(rules.get("universe", {}).get("assets"))
    since = np.array([0 if named else line.candidate_from for line in lines.values()])
    clock = prices.index[(prices.notna().to_numpy() & (prices.index.to_numpy()[:, None] >= since)).any(axis=1)]
    clock = clock.union(days[days > clock[0]])
    prices, carried = prices.reindex(clock), carried.reindex(clock)
    unfresh = carried.fillna(value=True).to_numpy(dtype=bool)
    names, book, dates = np.array(prices.columns), Book(lines, rules, actions), dates_of(rules, prices.index[-1])
    for now, row, stale in zip(prices.index.tolist(), prices.to_numpy(), unfresh, strict=True):
        for column in np.flatnonzero(~np.isnan(row)):
            book.price[names[column]], book.seen[names[column]] = float(row[column]), now
        book.old = set(names[stale])
        book.publish(now)
        book.drop_stale(now)
        book.act(now)
        while dates and dates[0][0] <= now:
            book.review(now, dates.pop(0))
    return pd.Series(book.levels).round(rules.get("decimals", 6))


def betas(base: str, index: str, levels: pd.Series) -> float:
    """The largest relative difference of beta and its error to those served, by least squares of statsmodels."""
    worst = 0.0
    for benchmark in ("QQQ", "NVDA", "SMH"):
        for sessions in (90, 250):
            query = f"benchmark={benchmark}&sessions={sessions}"
            served = json.load(urlopen(f"{base}/v1/indices/{index}/beta?{query}"))
            pairs = table(f"{base}/v1/indices/{index}/beta/pairs.csv?{query}")
            own = np.log(levels.reindex(pairs["end"]).to_numpy() / levels.reindex(pairs["start"]).to_numpy())
            fit = sm.OLS(own, sm.add_constant(pairs["benchmark_log_return"].to_numpy())).fit()
            lags = {"maxlags": served["hac_lag"], "use_correction": True}
            error = max(fit.bse[1], fit.get_robustcov_results("HAC", **lags).bse[1])
            apart = max(abs(fit.params[1] / served["beta"] - 1), abs(error / served["se"] - 1))
            print(f"  beta to {benchmark:4} over {sessions:3}: {fit.params[1]:.6f} ± {error:.6f}, apart {apart:.1e}")
            worst = max(worst, apart)
    return worst


def compare(base: str, index: str) -> float:
    """The largest relative difference of an index to what is published; prints it with the betas."""
    rules = tomllib.loads(urlopen(f"{base}/v1/indices/{index}/methodology.toml").read().decode())
    lines = lines_of(base, rules)
    levels = walk(lines, rules, table(f"{base}/v1/actions.csv"), midnights(base))
    finest = min(np.diff(np.array(sorted(levels.index))).min(), HOUR)
    interval = "1h" if finest >= HOUR else "5m" if finest >= HOUR // 12 else "1m"
    published = table(f"{base}/v1/indices/{index}/levels.csv?interval={interval}").set_index("time")["level"]
    if not levels.index.equals(published.index):
        missing, more = published.index.difference(levels.index), levels.index.difference(published.index)
        raise SystemExit(
            f"{index}: {len(missing)} levels are published and not here, {len(more)} here and not published; the first "
            f"at {pd.Timestamp(min([*missing, *more]), tz='UTC')}"
        )
    apart = (levels / published - 1).abs()
    print(f"{index}: {len(levels)} levels, largest difference {apart.max():.1e} at {pd.Timestamp(apart.idxmax())}")
    return max(apart.max(), betas(base, index, levels))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    differences = [compare(sys.argv[1].rstrip("/"), name) for name in sys.argv[2:]]
    sys.exit(int(max(differences) > TOLERANCE))
