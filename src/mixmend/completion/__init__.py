"""Cells that were not observed: their distributions, and the best of them."""
