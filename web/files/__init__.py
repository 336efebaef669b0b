"""Files that pages show: opened only where they lie where they should, by no link, and as they are on record."""
