"""Importing this readies what measures frames: for the process that readers are forked from, so that none waits."""

import numpy as np

from ccdcore.io import read  # noqa: F401 - to have it
from ccdcore.numerics.histogram import Histogram
from flows.registration import reader_pool  # noqa: F401 - as above

for kind in (np.uint16, np.int16, np.int32, np.int64):  # all that counting is compiled for
    Histogram.of(np.zeros(2, kind))
