"""Vectors to codes to ranks; nothing in this package opens a file."""
