"""The hash chain: any changed input, level or order gives other hashes."""

import numpy as np

from indexer.levels.hash_chain import GENESIS, Segment, chain, inputs_hashes

TIMES = np.array([1, 2, 3], dtype=np.int64)
PRICES = np.array([[1.0, 10.0], [1.1, 11.0], [1.2, 9.0]])
SEGMENTS = [
    Segment(0, 2, np.array([0, 1]), ("a", "b"), np.array([5.0, 6.0]), 2.0),
    Segment(2, 3, np.array([1]), ("b",), np.array([6.5]), 2.5),
]


def hashes(prices=PRICES, segments=SEGMENTS, methodology="m"):
    return inputs_hashes(TIMES, prices, segments=segments, methodology_hash=methodology)


def test_each_level_has_its_own_inputs():
    assert len({*hashes()}) == 3
    assert all(len(one) == 32 for one in hashes())


def test_one_changed_bit_of_a_price_changes_exactly_the_levels_that_used_it():
    other = PRICES.copy()
    other[1, 1] = np.nextafter(11.0, 12.0)
    same = [a == b for a, b in zip(hashes(), hashes(other), strict=True)]
    assert same == [True, False, True]


def test_a_price_of_no_constituent_changes_nothing():
    other = PRICES.copy()
    other[2, 0] = 99.0
    assert hashes(other) == hashes()


def test_the_methodology_is_in_every_hash():
    assert not set(hashes()) & set(hashes(methodology="n"))


def link(levels, inputs, previous=GENESIS):
    ones = np.ones(3, dtype=np.int64)
    return chain(TIMES, np.array(levels), revisions=ones, status=np.zeros(3, np.int8), inputs=inputs, previous=previous)


def test_the_chain_links_each_row_to_the_one_before_and_continues():
    before, after = link([1.0, 2.0, 3.0], hashes())
    assert before[0] == GENESIS
    assert before[1:] == after[:-1]
    again, _ = link([1.0, 2.0, 3.0], hashes(), previous=after[-1])
    assert again[0] == after[-1]


def test_a_changed_level_breaks_every_hash_after_it():
    _, one = link([1.0, 2.0, 3.0], hashes())
    _, other = link([1.0, 2.000001, 3.0], hashes())
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, False, False]
