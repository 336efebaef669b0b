"""Stacks of frames, clipped and averaged."""
