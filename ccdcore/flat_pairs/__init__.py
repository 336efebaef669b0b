"""What two flats of the same light differ by."""
