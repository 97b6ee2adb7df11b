"""The names of the numpy arrays that the house hands around: element type only, shapes stand in each docstring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]
