"""A specification → SVG or PNG by vl-convert, one at a time: it is heavy and keeps one engine for the process."""

from __future__ import annotations

import threading
from typing import Any

ONE_AT_A_TIME = threading.Lock()


def to_svg(spec: dict[str, Any]) -> bytes:
    """The chart as SVG."""
    import vl_convert

    with ONE_AT_A_TIME:
        text: str = vl_convert.vegalite_to_svg(spec)
    return text.encode()


def to_png(spec: dict[str, Any], *, scale: float) -> bytes:
    """The chart as PNG, `scale` pixels of the picture to one of the specification."""
    import vl_convert

    with ONE_AT_A_TIME:
        png: bytes = vl_convert.vegalite_to_png(spec, scale=scale)
    return png
