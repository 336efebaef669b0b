"""Frames that were calibrated: with which masters, and which would now get others."""
