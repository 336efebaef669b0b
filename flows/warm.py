"""Importing this compiles what combines frames: for the process that flow runs are forked from, so that none waits.

Where the compiled code can be kept on disk that is done once a machine and version; where it cannot, once a service.
"""

from ccdcore.combining import warm_up

warm_up()
