"""Kinds of generalisation checks, as a declaration names them; imports no data."""

from typing import Literal, get_args

CheckKind = Literal["voices", "noise", "sentences", "classes", "speakers"]
CHECK_KINDS: tuple[CheckKind, ...] = get_args(CheckKind)
