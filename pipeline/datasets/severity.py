"""How bad something odd about a data set or a file is; imports nothing."""

from typing import Literal, get_args

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
