"""Frames with overscan, bias and dark removed; and what a master is."""
