"""A home on this machine: its folder, its database, its processes, and where a service of it can be reached."""
