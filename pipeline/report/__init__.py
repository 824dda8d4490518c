"""One page per run or comparison: what was measured, the queries and the items that they find."""
