"""Histograms, robust statistics, and how inner loops are compiled."""
