"""``--config FILE.yaml``: options of a command from a file, and the file that a command leaves."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from ivr.names import suggestion

from .options import ConfigOption, is_given

PARAMETERS = "ivr.parameters"
"""Key of the parsed parameters in the context, as click gave them."""
_ONCE = {
    "config",
    "help",
    "describe",
    "show-preset",
    "dry-run",
    "plan",
    "resume",
    "overwrite",
    "force",
    "json",
}
"""Options that say what one call does, not what its result is: they are not written."""


def config_option() -> click.Option:
    """Return --config."""
    return click.Option(
        ["--config"],
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_read,
        metavar="FILE.yaml",
        help="Read options from this YAML file; options on the command line override it.",
    )


def write_choices(output: Path, part: str = "") -> None:
    """Write the options of the running command beside its ``output``, for ``--config``.

    The file is ``COMMAND.yaml`` in an output folder, ``PART.COMMAND.yaml`` for one ``part`` of what
    such a folder holds, and ``NAME.COMMAND.yaml`` beside an output file. Its sha256 is recorded in
    output folders, and beside a file where others are.
    """
    import yaml

    from ivr.features.atomic_files import replaced_text
    from ivr.pipeline.runtime.digests import DIGESTS, rewriting

    context = click.get_current_context()
    name = f"{context.info_name}.yaml"
    own = f"{part}.{name}" if part else name
    path = output / own if output.is_dir() else output.with_suffix(f".{name}")
    text = yaml.safe_dump(_choices(context), sort_keys=False, allow_unicode=True)
    recorded = output.is_dir() or (path.parent / DIGESTS).is_file()
    with (
        rewriting(path.parent, [path.name]) if recorded else nullcontext(),
        replaced_text(path) as file,
    ):
        file.write(f"# {context.command_path} --config FILE reads this\n{text}")


def _read(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make the options in the file at ``path`` the defaults of the command."""
    if path is None:
        return
    # Here, since pydantic would make the help slower.
    from ivr.features.regular_files import UnreadableFileError
    from ivr.pipeline.runtime.json_files import ContentError, load_yaml

    try:
        values = load_yaml(path, dict[Any, Any])
    except UnreadableFileError as error:
        raise click.UsageError(f"{path}: {error}", context) from error
    except ContentError as error:
        raise click.UsageError(
            f"{path}: {error}; it must hold option names with their values", context
        ) from error
    parameters = {_name(parameter): parameter for parameter in context.command.params}
    defaults = {}
    for name, value in values.items():
        parameter = parameters.get(str(name).replace("_", "-"))
        if parameter is None or parameter.name in ("config", "help"):
            near = suggestion(str(name), [known for known in parameters if known not in _ONCE])
            raise click.UsageError(f"{path}: no option {str(name)!r}; {near}", context)
        if value is not None:
            defaults[parameter.name] = _given(parameter, value)
    context.default_map = defaults


def _name(parameter: click.Parameter) -> str:
    """Return the name of a parameter in a file: that of --help without dashes in front."""
    names = [name.lstrip("-") for name in parameter.opts if name.startswith("--")]
    return names[0] if names else (parameter.name or "")


def _given(parameter: click.Parameter, value: Any) -> Any:
    """Return ``value`` of the file as click takes it: text, where click converts what it is given.

    It would make 1 of ``true`` and of 1.9 for an option that takes a whole number.
    """
    if not parameter.multiple and parameter.nargs == 1:
        return value if isinstance(value, list | Mapping) else _text(value)
    if isinstance(value, Mapping):
        return [f"{name}={text}" for name, text in _flat(value, "")]
    return [_text(part) for part in (value if isinstance(value, list) else [value])]


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _choices(context: click.Context) -> dict[str, Any]:
    """Return the options of the running command by name, defaults among them."""
    values = context.meta[PARAMETERS]
    chosen = {}
    for parameter in context.command.params:
        name, value = _name(parameter), values.get(parameter.name)
        if isinstance(parameter, ConfigOption) and not is_given(context, parameter):
            value = parameter.unset()
        if name not in _ONCE and value not in (None, "", ()):
            chosen[name] = _plain(value)
    return chosen


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool) else str(value)
