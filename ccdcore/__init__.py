"""Science of CCD calibration frames: photon transfer and combining, on arrays and frames."""
