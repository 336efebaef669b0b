"""Pages over what is on record: read-only HTML and JSON, no network needed."""
