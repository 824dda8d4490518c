"""Comparisons: many runs side by side, in the tables and pictures of papers."""
