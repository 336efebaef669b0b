"""How a home is doing: whether its service works, what it waits for, and what somebody should look at."""
