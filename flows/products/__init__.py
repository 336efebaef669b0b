"""What a run makes: measurements, masters, pictures, trends; each on record before it is seen."""
