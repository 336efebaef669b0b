"""Whether a master may take the place of the one in force: what both predict of frames, and how far they are apart."""
