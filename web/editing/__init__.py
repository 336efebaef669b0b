"""Marks and notes on the pages, where the configuration allows them: each said with a name and its password."""
