"""Expectation-Maximisation: the loop, when it stops, its restarts; no density is known here."""
