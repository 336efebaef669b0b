"""Master biases, darks and flats, their checks and files; bad pixels."""
