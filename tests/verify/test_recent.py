"""What comes after settled history is the same when the years before its last review are left out."""

from __future__ import annotations

import numpy as np
from baskets import random_market
from hypothesis import assume, given
from hypothesis import strategies as st
from test_settled_engine import SEEDS, computed, indices, settled_at

from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.verify.levels import recent


@given(SEEDS, indices(), st.sampled_from([0.0, 0.1]), st.floats(0.4, 1))
def test_later_changes_are_the_same_without_the_years_before(seed, index, gaps, share):
    market = random_market(seed, gaps=gaps)
    whole = computed(market, index)
    settled = settled_at(whole, int(share * (len(whole.times_us) - 1)))
    shorter, cut = recent(settled, market, index)
    assume(len(shorter.changes) < len(settled.changes))
    full, less = (
        compute_index(*one, settled=two) for one, two in (((market, index), settled), ((cut, index), shorter))
    )
    assert less.times_us[0] == shorter.changes[0].effective_us
    # where all were silent for longer than a price is carried, verify walks the whole history
    assume(np.array_equal(less.times_us, full.times_us[-len(less.times_us) :]))
    np.testing.assert_allclose(less.levels, full.levels[-len(less.levels) :], rtol=1e-12)
    later = [[one for one in made.rebalances if one.effective_us > settled.until_us] for made in (full, less)]
    assert len(later[0]) == len(later[1])
    for one, two in zip(*later, strict=True):
        assert (one.kind, one.effective_us) == (two.kind, two.effective_us)
        np.testing.assert_allclose(two.units_after, one.units_after, rtol=1e-12)
        np.testing.assert_allclose(two.divisor_after, one.divisor_after, rtol=1e-12)
    assert compare(less, second_index(cut, index, settled=shorter)).max_relative < 1e-9
