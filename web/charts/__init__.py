"""Plots and graphs, as the templates draw them."""
