"""What people said: marks of frames, masters and measurements, and notes on instruments."""
