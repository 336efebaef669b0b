"""Masters of mosaics, put together from those of their detectors, and never held whole."""
