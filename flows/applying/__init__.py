"""Masters applied to frames: which suit, and the frames calibrated with them."""
