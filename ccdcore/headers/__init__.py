"""What a header means: the instrument, the kind of frame, how it was read out."""
