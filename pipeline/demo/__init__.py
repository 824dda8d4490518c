"""Demonstration: a small set of drawn images and synthetic voices, and a whole run on it."""
