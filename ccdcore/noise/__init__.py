"""The noise of biases, and pairs of exposures in general."""
