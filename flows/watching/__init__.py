"""Watched folders: which files are there, and which are complete."""
