"""Labels of pixels, and the one that stands for none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

NOTHING = -(2**62)
"""Label of pixels that become no polygon; values of rasters lie above it."""
