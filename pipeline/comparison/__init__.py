"""Comparisons: many runs side by side, in the tables and figures of the papers."""
