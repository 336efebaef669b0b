"""How near the truth numbers are (``make accuracy``), and what combining costs (``make bench``)."""
