"""Pages of the documentation that are generated: commands, Python API, options, the tutorial.

MkDocs loads this file as a hook (``hooks`` in mkdocs.yml). mkdocs-click would be the usual way to
the pages of the commands; it shows no command of a group that loads its commands when they are
called, prints an option without a default as ``Sentinel.UNSET`` and joins the lines of an example.
"""

import base64
import dataclasses
import inspect
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cli", "features", "hashing", "pipeline")
COMMANDS, API = "reference/commands", "reference/api"
# Files that stand elsewhere in the checkout than in the site.
MOVED = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CITATION.cff": "project/CITATION.cff",
    "docs/tutorial.ipynb": "tutorial.md",
}
# Head of a page that is alone in its section: no list of pages at its side.
WIDE = "---\nhide:\n  - navigation\n---\n\n"
# Warnings of this logger fail a strict build, like those of MkDocs itself.
LOG = logging.getLogger("mkdocs.hooks.site_pages")
ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):<code>~?(?:[\w.]+\.)?(\w+)</code>")
OUTSIDE = re.compile(
    r"""<(?:link|script|img|iframe|source|audio|video)\b[^>]*\b(?:href|src)=["']?(?:https?:)?//"""
    r"""|url\(["']?(?:https?:)?//|@import\s|class=["']?mermaid"""
)


def on_startup(**_: Any) -> None:
    """Link the packages before mkdocstrings looks for the folder of the links."""
    _link_packages()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Return ``config`` with the generated pages in its navigation."""
    _extend(config.nav, COMMANDS, [command_file(name) for name in ("index", *commands())])
    _extend(config.nav, API, [f"{API}/{name}.md" for name in ("index", *public_names())])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return ``files`` with the generated pages."""
    for path, content in generated_pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page with links to the notebook made links to its page."""
    return markdown.replace("tutorial.ipynb)", "tutorial.md)")


def on_page_content(html: str, **_: Any) -> str:
    """Return the HTML of a page as readers need it.

    Roles of docstrings go (``:func:`a.b.c``` becomes c), and a number stays on one line with its
    deviation.
    """
    return ROLE.sub(r"<code>\1</code>", html).replace(" ± ", "&nbsp;±&nbsp;")


def on_post_build(config: MkDocsConfig) -> None:
    """Fail where a page of the site loads something from the network."""
    outside = outside_resources(Path(config.site_dir))
    if outside:
        raise PluginError("these pages load resources from elsewhere: " + "; ".join(outside))


def outside_resources(site: Path) -> list[str]:
    """Return one line per page or stylesheet of ``site`` that loads something from elsewhere."""
    found = []
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        match = OUTSIDE.search(path.read_text(encoding="utf-8"))
        if match:
            found.append(f"{path.relative_to(site)}: {match.group()}")
    return found


def generated_pages() -> Iterator[tuple[str, str | bytes]]:
    """Yield path and content of every generated page and picture."""
    yield f"{COMMANDS}/index.md", commands_page()
    for name, command in commands().items():
        yield command_file(name), command_page(name, command)
    yield f"{API}/index.md", api_page()
    for name in public_names():
        yield f"{API}/{name}.md", name_page(name)
    yield "reference/options.md", options_page()
    for name, page in MOVED.items():
        if name.endswith(".ipynb"):
            yield from notebook_pages(ROOT / name, page)
        else:
            text = _root_page(name, page)
            yield page, WIDE + text if page == "index.md" else text


def _link_packages() -> None:
    """Link the packages below build/typing, where mkdocstrings finds their sources by name."""
    links = ROOT / "build" / "typing" / "ivr"
    links.mkdir(parents=True, exist_ok=True)
    for source in (*(ROOT / name for name in PACKAGES), *(ROOT / "ivr").glob("*.py")):
        # In one step: several builds, and mypy, may use the links at the same time.
        link, own = links / source.name, links / f".{source.name}.{os.getpid()}"
        own.symlink_to(source)
        own.replace(link)


def _extend(nav: Any, placeholder: str, pages: list[str]) -> None:
    """Replace the entry ``placeholder`` of ``nav`` by ``pages``."""
    for entry in nav:
        for title, value in entry.items() if isinstance(entry, dict) else ():
            if value == placeholder:
                names = [Path(page).stem for page in pages]
                entry[title] = [
                    page if name == "index" else {name: page}
                    for name, page in zip(names, pages, strict=True)
                ]
            elif isinstance(value, list):
                _extend(value, placeholder, pages)


def _root_page(name: str, page: str) -> str:
    """Return a file of the root as the page ``page``, with its links relative to that page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    up = "../" * page.count("/")
    for target, moved in MOVED.items():
        text = text.replace(f"]({target})", f"]({up}{moved})")
    return text.replace("](docs/", f"]({up}")


# ---------------------------------------------------------------------------------------- commands


def commands() -> dict[str, click.Command]:
    """Return every command of the command line by its name, e.g. ``archive add``."""
    from ivr.cli import every_command

    return every_command()


def command_file(name: str) -> str:
    """Return the path of the page of the command ``name``."""
    return f"{COMMANDS}/{name.replace(' ', '-')}.md"


def commands_page() -> str:
    """Return the page that lists all commands."""
    from ivr.cli import main

    lines = ["# Commands", "", *_help_markdown(main.help or ""), "", "| command | |", "|---|---|"]
    context = click.Context(main, info_name="ivr")
    formatter = context.make_formatter()
    formatter.width = 10_000
    main.format_commands(context, formatter)
    for line in formatter.getvalue().splitlines():
        name, _, text = line.strip().partition(" ")
        if name in commands():
            lines.append(f"| [`ivr {name}`]({name}.md) | {_cell(text.strip())} |")
        for part, command in commands().items():
            if part.startswith(f"{name} "):
                link = Path(command_file(part)).name
                lines.append(
                    f"| [`ivr {part}`]({link}) | {_cell(command.get_short_help_str(200))} |"
                )
    return "\n".join(lines)


def command_page(name: str, command: click.Command) -> str:
    """Return the page of one command: the text of its help, and its options."""
    context = click.Context(command, info_name=f"ivr {name}")
    usage = " ".join(["ivr", name, *command.collect_usage_pieces(context)])
    lines = [f"# ivr {name}", "", "```text", usage, "```", "", *_help_markdown(command.help or "")]
    lines += ["", "## Options", ""]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            anchor = max(parameter.opts, key=len).lstrip("-")
            lines += [
                f"<code id='{anchor}'>{_cell(record[0])}</code>",
                f":   {_cell(record[1])}",
                "",
            ]
    formatter = context.make_formatter()
    command.format_epilog(context, formatter)
    if formatter.getvalue().strip():
        title, _, rest = inspect.cleandoc(formatter.getvalue()).partition("\n")
        lines += ["", f"## {title.rstrip(':')}", "", "```text", inspect.cleandoc(rest), "```"]
    return "\n".join(lines)


def _help_markdown(text: str) -> Iterator[str]:
    r"""Yield the lines of a help text as Markdown; ``\b`` marks a paragraph to be left as it is."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if not paragraph.lstrip().startswith("\b"):
            yield from (_plain(paragraph), "")
            continue
        title, _, block = paragraph.lstrip().removeprefix("\b").lstrip("\n").partition("\n")
        yield from (_plain(title), "")
        yield from ("```text", inspect.cleandoc("\n" + block), "```", "")


def _plain(text: str) -> str:
    """Return ``text`` with the marks of Markdown and HTML made harmless, but for code."""
    parts = text.split("`")
    plain = [re.sub(r"([*_<])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = plain
    return "`".join(parts)


def _cell(text: str) -> str:
    """Return ``text`` for a cell of a table."""
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("*", "&#42;")
    )


# -------------------------------------------------------------------------------------- Python API


def public_names() -> list[str]:
    """Return the public names of ``ivr`` that have a page, functions before classes."""
    import ivr

    names = [name for name in ivr.__all__ if not name.startswith("__")]
    return sorted(names, key=lambda name: (name[0].isupper(), name))


def api_page() -> str:
    """Return the page that lists every public name with the first line of its docstring."""
    import ivr

    lines = ["# Python API", "", *inspect.cleandoc(ivr.__doc__ or "").splitlines(), ""]
    lines += ["| name | |", "|---|---|"]
    for name in public_names():
        first, *_ = (inspect.getdoc(getattr(ivr, name)) or "").splitlines() or [""]
        lines.append(f"| [`ivr.{name}`]({name}.md) | {_cell(_code(first))} |")
    lines.append("| `ivr.__version__` | Version of the installed package, a string. |")
    return "\n".join(lines)


def name_page(name: str) -> str:
    """Return the page of a public name, which mkdocstrings fills."""
    import ivr

    item = getattr(ivr, name)
    for lacking in undocumented(name, item):
        LOG.warning("%s is public and has no docstring", lacking)
    path = item.__name__ if inspect.ismodule(item) else f"{item.__module__}.{item.__qualname__}"
    options = f"    options:\n      heading: ivr.{name}\n      heading_level: 1\n"
    page = f"---\ntitle: ivr.{name}\n---\n\n::: {path}\n{options}"
    # The signature that mkdocstrings shows of a class lacks the fields of a pydantic dataclass.
    return page + defaults_table(item) if hasattr(item, "__pydantic_validator__") else page


def defaults_table(config: type[Any]) -> str:
    """Return the default of every field of a config as a section of its page."""
    lines = ["", "## Defaults", "", "| field | default |", "|---|---|"]
    for field in dataclasses.fields(config):
        if field.default_factory is not dataclasses.MISSING:
            text = f"{type(field.default_factory()).__name__}()"
        elif field.default is dataclasses.MISSING:
            text = "required"
        else:
            text = repr(field.default)
        lines.append(f"| `{field.name}` | {text if text == 'required' else f'`{text}`'} |")
    return "\n".join(lines)


def undocumented(name: str, item: Any) -> Iterator[str]:
    """Yield ``name`` and its public parts that have no docstring of their own."""
    text = item.__doc__ or ""
    # A dataclass without a docstring gets its signature for one.
    if not text or text.startswith(f"{getattr(item, '__name__', name)}("):
        yield f"ivr.{name}"
    if inspect.ismodule(item):
        owned = {key: getattr(item, key) for key in getattr(item, "__all__", ())}
    else:
        owned = vars(item) if inspect.isclass(item) else {}
    for key, value in owned.items():
        called = inspect.isfunction(value) or isinstance(value, property | classmethod)
        if not key.startswith("_") and called and not value.__doc__:
            yield f"ivr.{name}.{key}"


def _code(text: str) -> str:
    """Return ``text`` with the double backquotes of a docstring made single."""
    return text.replace("``", "`")


# ----------------------------------------------------------------------------------------- options


def options_page() -> str:
    """Return the page of all options that are set by NAME=VALUE, from the docstrings of configs."""
    from ivr.features.mfcc import VoiceConfig
    from ivr.hashing.methods import own_method_names
    from ivr.hashing.network_config import NetworkConfig
    from ivr.hashing.training_config import TrainConfig
    from ivr.pipeline.runtime.config_options import describe

    network = describe(NetworkConfig)
    lines = [
        "# Options of extraction, training and methods",
        "",
        "These options are set as `NAME=VALUE`. The same names are the fields of the config",
        "objects of the [Python API](api/index.md).",
        "",
        "## Voices: `ivr extract --voice-option NAME=VALUE`",
        "",
        *_options_table(describe(VoiceConfig)),
        "",
        "## Training: `ivr train-hash --set training.NAME=VALUE`",
        "",
        *_options_table(describe(TrainConfig)),
        "",
        "## Networks: `ivr train-hash --set network.NAME=VALUE` {#networks}",
        "",
        "Most methods have these options. Where a method has another default, its section says so.",
        "",
        *_options_table(network),
        "",
        "## Methods: `ivr train-hash --method METHOD --set NAME=VALUE`",
    ]
    shared = {(f"network.{name}", default) for name, default, _ in network}
    for name in own_method_names():
        lines += _method_options(name, shared)
    return "\n".join(lines)


def _method_options(name: str, shared: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the section of a method, without the options and defaults that it shares."""
    from ivr.hashing.methods import method_entry, method_text
    from ivr.pipeline.runtime.config_options import describe

    rows = describe(method_entry(name).config)
    source = [line.removeprefix("# ") for line in method_text(name).splitlines()]
    yield from ("", f"### `{name}`", "")
    yield from (f"- {_cell(line.removeprefix(f'{name}: '))}" for line in source)
    yield ""
    yield from _options_table([row for row in rows if row[:2] not in shared])
    if any(row[:2] in shared for row in rows):
        yield from ("", "Other options: those of the [networks](#networks).")


def _options_table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    """Yield a table of names, defaults and meanings."""
    yield from ("| option | default | meaning |", "|---|---|---|")
    for name, default, meaning in rows:
        yield f"| `{name}` | `{default}` | {_cell(_code(meaning))} |"


# ---------------------------------------------------------------------------------------- notebook


def notebook_pages(path: Path, page: str) -> Iterator[tuple[str, str | bytes]]:
    """Yield a notebook as the page ``page``, and its pictures below images/."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text: list[str] = []
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text += [source, ""]
            continue
        text += ["```python", source, "```", ""]
        for place, output in enumerate(cell["outputs"]):
            picture = output.get("data", {}).get("image/png")
            if picture is not None:
                file = f"{Path(page).stem}-{number}-{place}.png"
                yield f"images/{file}", base64.b64decode(picture)
                text += [f"![Output of the cell above](images/{file})", ""]
            else:
                text += [*_output_text(output), ""]
    text.append(f"[Download this page as a notebook]({path.name}){{download}}")
    yield page, "\n".join(text)


def _output_text(output: dict[str, Any]) -> list[str]:
    """Return the lines of an output that is not a picture."""
    data = output.get("data", {})
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>|\s*\n\s*", "", "".join(data["text/html"]), flags=re.S)
        # Without its own class the table looks like the others of the site.
        table = table.replace('border="1" class="dataframe"', "")
        return [f'<div class="output">{table}</div>']
    plain = "".join(output.get("text", data.get("text/plain", "")))
    return ["```{.text .output}", plain.rstrip("\n"), "```"]
