"""The goals of reliability as measurements: each is a module that says how large its sample was and what it found."""
