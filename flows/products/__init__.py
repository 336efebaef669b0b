"""What a run makes: measurements, masters, trends; each on record before it is seen."""
