"""The record: files, frames, runs, measurements and masters in a database."""
