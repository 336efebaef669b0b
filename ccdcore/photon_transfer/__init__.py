"""Gain and read noise by photon transfer."""
