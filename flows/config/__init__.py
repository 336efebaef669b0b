"""What the configuration of a home says: read, checked, and told without its secrets."""
