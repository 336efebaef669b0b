"""Frames of many detectors, read detector by detector: they are larger than what a process should hold."""
