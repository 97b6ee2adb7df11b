"""Weight schemes before caps, and the refusals."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.engine.weights import Sizes, raw_weights
from indexer.errors import MethodologyError
from indexer.methodology.spec import Scheme, Weighting

CAP = np.array([[29.93, 20.58, 19.03, 17.18, 10.45, 2.83]])
ALL = np.ones((1, 6), dtype=bool)


def sizes(**changes: np.ndarray) -> Sizes:
    unknown = np.full(CAP.shape, np.nan)
    return Sizes(**{"cap_usd": CAP * 1e8, "adv_usd": unknown, "fundamental": unknown, **changes})


def test_square_root_of_the_fund() -> None:
    found = raw_weights(Weighting(Scheme.SQRT_CAP), sizes(), member=ALL)
    expected = [23.3502, 19.3624, 18.6190, 17.6909, 13.7973, 7.1801]
    np.testing.assert_allclose(100 * found[0], expected, atol=5e-5)


def test_free_float_cap_and_equal() -> None:
    found = raw_weights(Weighting(Scheme.FREE_FLOAT_CAP), sizes(), member=ALL)
    np.testing.assert_allclose(found, CAP / 100, rtol=1e-14)
    some = np.array([[True, False, True, False, True, True]])
    np.testing.assert_array_equal(raw_weights(Weighting(Scheme.EQUAL), sizes(), member=some), some / 4)


def test_floor_plus_cap_is_affine() -> None:
    found = raw_weights(Weighting(Scheme.FLOOR_PLUS_CAP, floor=0.1), sizes(), member=ALL)
    np.testing.assert_allclose(found, 0.1 + 0.4 * CAP / 100, rtol=1e-14)
    ten = raw_weights(Weighting(Scheme.FLOOR_PLUS_CAP, floor=1 / 6), sizes(), member=ALL)  # all of the weight in floors
    np.testing.assert_allclose(ten, 1 / 6, rtol=1e-14)


def test_liquidity_and_fundamental() -> None:
    traded = np.array([[1.0, 2, 3, 4, 5, 6]])
    found = raw_weights(Weighting(Scheme.LIQUIDITY), sizes(adv_usd=traded), member=ALL)
    np.testing.assert_allclose(found, traded / 21, rtol=1e-15)
    found = raw_weights(Weighting(Scheme.FUNDAMENTAL, metric="fees"), sizes(fundamental=traded), member=ALL)
    np.testing.assert_allclose(found, traded / 21, rtol=1e-15)


def test_a_member_without_size_is_refused() -> None:
    traded = np.array([[1.0, 2, np.nan, 4, 5, 6]])
    message = "index x at 2025: member in column 2 has size nan under liquidity; only a member with a known, positive"
    with pytest.raises(MethodologyError, match=message):
        raw_weights(Weighting(Scheme.LIQUIDITY), sizes(adv_usd=traded), member=ALL, labels=["index x at 2025"])


def test_floors_above_one_are_refused() -> None:
    with pytest.raises(MethodologyError, match=r"basket 1: floor 0\.2 times 6 members is above 1; lower the floor"):
        raw_weights(Weighting(Scheme.FLOOR_PLUS_CAP, floor=0.2), sizes(), member=ALL)
