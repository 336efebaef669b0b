"""What the frames of a master differ by, block by block: from the master, from one another, in their order."""
