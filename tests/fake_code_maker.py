"""Archives that open a made-up model, whatever folder is named."""

from pathlib import Path
from typing import Any

import pytest
from light_code_maker import LightCodeMaker as FakeCodeMaker


def use(monkeypatch: pytest.MonkeyPatch, maker: FakeCodeMaker | None = None) -> FakeCodeMaker:
    """Have archives open ``maker`` whatever folder is named."""
    made = maker or FakeCodeMaker()

    def open_model(folder: str | Path, **_: Any) -> FakeCodeMaker:
        return made

    for module in ("archive_model", "create", "locate"):
        monkeypatch.setattr(f"ivr.pipeline.archive.{module}.open_model", open_model)
    return made
