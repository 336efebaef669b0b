"""A frame and its statistics; series of frames and their health."""
