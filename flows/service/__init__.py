"""The service of a home: its processes, how they are kept alive, and how they are doing."""
