"""The page as HTML: the templates, style and script in ``page/``, filled in.

Every text is escaped by the templates, and characters that act or hide are written out: a caption
can neither add an element nor turn the direction of the page.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from ivr.pipeline.runtime.visible_text import visible

_BREAKS = re.compile(r"([/_-])(?=\w)")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")
GENERATOR = "ivr report"
"""What a page says of its origin, so that no other file is replaced by one."""


def render(template: str, values: Mapping[str, Any], *, linked: bool) -> str:
    """Return the page ``template`` with ``values`` filled in.

    Args:
        template: name of a file in ``page/``.
        values: what the template reads.
        linked: pictures and sounds are files beside the page; otherwise the page loads nothing.
    """
    script, style = _text("report.js"), _text("report.css")
    beside = "'self' file: " if linked else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src {beside}data:; media-src {beside}data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    # The files of the package itself, which hold no text of a user.
    own = {"script": Markup(script), "style": Markup(style)}
    return page.render(values, policy=policy, generator=GENERATOR, **own)


def data_link(data: bytes, media_type: str) -> str:
    """Return ``data`` as the address of a resource inside the page."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {"parts": _parts, "sentence": _sentence}
    return made


def _parts(name: str) -> Markup:
    """Return the name of a file, which a line may break after ``/``, ``_`` and ``-`` first."""
    return Markup(_BREAKS.sub(r"\1<wbr>", str(escape(visible(name)))))


def _sentence(text: str) -> Markup:
    """Return ``text`` with options of commands that no line breaks."""
    return Markup(_OPTION.sub(r'<span class="option">\1</span>', str(escape(visible(text)))))


def _shown(value: Any) -> Any:
    """Return text with what acts or hides written out, and anything else as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")
