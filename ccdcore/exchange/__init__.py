"""Masters as other programs take them: names for files, and PixInsight's format."""
