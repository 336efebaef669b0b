"""The service of a home: its processes, and how they are kept alive."""
