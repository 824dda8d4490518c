"""Stage: features to many runs, judged side by side, and the tables and figures of papers."""
