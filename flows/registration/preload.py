"""Importing this readies what measures frames: for the process that readers are forked from, so that none waits."""

from ccdcore.io import read  # noqa: F401 - to have it
from ccdcore.numerics import histogram
from flows.registration import reader_pool  # noqa: F401 - as above

histogram.warm_up()
