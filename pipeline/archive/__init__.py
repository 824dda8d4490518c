"""Codes of an archive with their metadata: add, remove, update and search."""
