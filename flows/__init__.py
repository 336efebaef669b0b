"""The service: watching, Prefect flows, settings, command line."""
