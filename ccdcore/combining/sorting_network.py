"""Networks of compare-exchanges that sort a given number of values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def network(n: int) -> npt.NDArray[np.int64]:
    """Return the compare-exchanges that sort ``n`` values: Batcher's merge exchange (Knuth 5.2.2, algorithm M).

    Its shape is (exchanges, 2): indices of values, which have no unit, in the order to exchange them in.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max(n - 1, 0).bit_length() >> 1
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
