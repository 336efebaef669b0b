"""Which master suits a frame: the rules, what each would add to its noise, and the choice."""
