"""The steps of a run, in one list for both engines, and the results that they leave."""
