"""What combining costs, here and with other programs: ``make bench``."""
