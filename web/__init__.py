"""Pages over what is on record: HTML and JSON, read-only unless editors are allowed, no network needed."""
