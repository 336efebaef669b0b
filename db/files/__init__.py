"""Files of watched folders: where each is in its life, and whose they are."""
