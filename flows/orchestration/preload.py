"""Importing this compiles the inner loops of all measurements: for the process that flow runs are forked from.

Where the compiled code can be kept on disk that is done once a machine and version; where it cannot, once a service.
"""

from ccdcore import changes, combining, photon_transfer

combining.warm_up()
changes.warm_up()
photon_transfer.warm_up()
