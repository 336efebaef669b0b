"""Frames: what each is, which set it belongs to, and what the headers of its files say."""
