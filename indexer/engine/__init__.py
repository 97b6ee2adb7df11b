"""The index arithmetic: levels from prices, supplies and a methodology. Pure: no files, no store, no clock.

The rules, which the fast calculator (`level.py`) and the second one (`second.py`) each follow on their own:

1.  *Inputs* of a decision at a reference instant are only what was true at or before it. The price is the
    last known one, the supply the last observation of the best source (free float on chain, reported, imported).
2.  *Base*: the base date, or else the first scheduled date after it, at which at least `min_constituents`
    candidates are eligible and have a price. It is a reconstitution and sets level = base level.
3.  A *reconstitution* tests every candidate (a line from its `candidate_from_us` on) and selects with buffers.
    A *rebalance* keeps the members it can still measure. A date that leaves fewer than `min_constituents` members
    changes nothing (a reconstitution falls back to a rebalance first).
4.  *Target weights* come from sizes at the reference instant, capped. They are applied at the effective
    instant's prices, or the next instant's when the clock lacks it: units = w · Z / P with Z the free-float
    capitalisation of the members at those prices.
5.  *Level* = Σ P·Q / D. Any change of units keeps it: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻. The level at an instant of
    change is that of the basket held into it.
6.  With k *transition fixings*, one a day, fixing t holds (1 − t/k) · weights before the first + t/k · target.
    The next scheduled date ends a transition.
7.  A *missing price* is carried, and flagged, while the last one is at most `max_carry_hours` old. At the
    first instant it is older, the constituent leaves at its last price (a suspension), until a reconstitution.
    When that would empty the index, nothing leaves.
8.  *Levels*: 00:00 UTC always has one, any other instant when `min_priced_weight` has a rate of it. Each is judged by
    the basket that it is made of: FINAL or INDICATIVE when `final_weight` has rates of that quality, else DEGRADED;
    CARRIED when any price is an older one.
9.  *Health*: an index is IMPAIRED from a 00:00 UTC level with more than `max_carried_weight` carried to the next one
    without, and from the leaving that brings it below `min_constituents` to the reconstitution that mends it. The
    first date of a month on whose reference day it is impaired is a reconstitution. At the level of 00:00 UTC that is
    the `impaired_days`-th impaired one in a row it is suspended: that level is its last, and its basket does nothing,
    until such a reconstitution finds enough members: a resumption, at once, with D set so that the level is the last.
"""
