"""What was measured, over the years."""
