"""Masters that are made of more than one group of frames, and what is measured of them."""
