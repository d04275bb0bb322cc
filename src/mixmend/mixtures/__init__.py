"""The densities, one file each, and the estimators that users fit."""
