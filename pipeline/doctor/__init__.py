"""Checks that this machine computes what other machines compute, and measures how fast it is."""
