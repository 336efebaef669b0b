"""Importing this readies what measures frames: for the process that readers are forked from, so that none waits."""

import numpy as np

from ccdcore import fits_io  # noqa: F401 - to have it
from ccdcore._count_kernel import count_16_bit

count_16_bit(np.zeros(2, np.uint16))
