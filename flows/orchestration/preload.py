"""Importing this readies the inner loops of all measurements: for the process that flow runs are forked from.

Where the compiled code can be kept on disk that is done once a machine and version; where it cannot, once a service.
"""

from flows.calibration.inner_loops import ready

ready()
