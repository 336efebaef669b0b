"""Which masters on record suit a frame, and what they would add to it."""
