"""Numba loops over plain arrays, one file per access pattern; no classes, no options."""
