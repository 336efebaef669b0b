"""Frames calibrated by masters: value, uncertainty and mask, and their files."""
