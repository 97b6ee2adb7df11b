"""Each sample of a source battery becomes its own test case, named by where it comes from."""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    samples = getattr(metafunc.cls, "samples", ())
    if "sample" in metafunc.fixturenames and samples:
        names = [f"{s.dataset}-{s.recorded.split('/')[-1] or 'documented'}-{n}" for n, s in enumerate(samples)]
        metafunc.parametrize("sample", samples, ids=names)
