"""The steps of a run, in one list for both engines, their pictures, and the results that they leave."""
