"""Importing this compiles the inner loops of all measurements: for the process that flow runs are forked from.

Where the compiled code can be kept on disk that is done once a machine and version; where it cannot, once a service.
"""

from ccdcore.combining import combine
from ccdcore.photon_transfer import measure
from ccdcore.trends import control_chart

combine.warm_up()
control_chart.warm_up()
measure.warm_up()
