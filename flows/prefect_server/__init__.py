"""The Prefect server of a home, and how the light processes talk to it."""
