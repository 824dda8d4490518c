"""How places inside a scene are looked for; imports no torch."""

from dataclasses import field

from pydantic import PositiveInt

from ivr.config import config

from .window_config import WindowConfig


@config
class LocateConfig:
    """How places inside a scene are looked for.

    Attributes:
        windows: Which windows are compared with the query.
        count: Number of best places per query.
        device: Device to encode on: auto, cpu, cuda or cuda:N; auto takes cuda if there is one.
    """

    windows: WindowConfig = field(default_factory=WindowConfig)
    count: PositiveInt = 10
    device: str = "auto"
