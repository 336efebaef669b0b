"""Sets and their runs: what was used, what was made of it, and what is in force."""
