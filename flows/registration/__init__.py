"""From files to frames on record: read by processes that may die of them."""
