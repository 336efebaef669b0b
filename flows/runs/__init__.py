"""A run: whether one is due, its claim, its inputs, and what becomes of products that cannot be made."""
