"""FITS files, read without trust and written whole."""
