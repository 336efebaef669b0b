"""Masters in force, laid out as other programs want them."""
