"""Importing this readies what measures frames: for the process that readers are forked from, so that none waits."""

import numpy as np

from ccdcore.io import read  # noqa: F401 - to have it
from ccdcore.numerics.histogram import Histogram

for kind in (np.uint16, np.int16, np.int32):
    Histogram.of(np.zeros(2, kind))
