"""Flows by hand or by the clock: what the commands of the same names do, and the process that serves all flows."""
