"""Latent factors: rows and columns as vectors whose products are the cells."""
