"""Options of a command from the fields of a config: names, types, choices, defaults and help."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import click

from ivr.config import bare_type, choices_of, field_hints
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runtime.config_options import attribute_texts, from_text, parsed, value_text

OPTIONS = "options"
"""Name of the argument of the command's function: what the user chose, nested as the config is."""

_TYPES = {bool: click.BOOL, int: click.INT, float: click.FLOAT}


@dataclass(frozen=True)
class Shown:
    """How an option departs from what its field says.

    Attributes:
        names: Names of the option; ``--`` and the name of the field if empty.
        help: text in place of the field's.
        default: text in place of the field's default.
        metavar: placeholder of the value in the help.
        type: in place of the type of the field.
        off: the option is a flag that switches the field off.
        settings: the field is a config, which one repeatable option NAME=VALUE sets.
    """

    names: tuple[str, ...] = ()
    help: str = ""
    default: str | None = None
    metavar: str | None = None
    type: "click.ParamType[Any] | None" = None
    off: bool = False
    settings: bool = False


def on_command_line(name: str) -> bool:
    """Return whether the user gave a value on the command line, not in a file.

    Args:
        name: Name of a parameter, or the fields that lead to an option of a config, with dots.
    """
    context = click.get_current_context()
    command = click.core.ParameterSource.COMMANDLINE
    return any(
        context.get_parameter_source(parameter.name or "") is command
        for parameter in context.command.params
        if name
        == (".".join(parameter.path) if isinstance(parameter, ConfigOption) else parameter.name)
    )


class CommaList(click.ParamType):  # type: ignore[type-arg]
    """Values with commas between them; a list in a config file."""

    name = "list"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, ...]:
        """Return the values."""
        values = value.split(",") if isinstance(value, str) else value
        if not isinstance(values, list | tuple):  # one value in a config file
            values = (values,)
        return tuple(str(part).strip() for part in values)


class ConfigOption(click.Option):
    """An option that sets one field of a config, where the user gives it.

    Attributes:
        path: names of the fields that lead to the field.
        default_value: what the config holds where the option is not given.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        path: tuple[str, ...],
        kind: Any,
        default: Any,
        shown: Shown,
        text: str,
    ) -> None:
        """Derive the option ``names`` at ``path`` from type, default and text of its field."""
        self.path, self.shown, self.kind = path, shown, kind
        self.default_value = None if default is dataclasses.MISSING else default
        flag, listed = bare_type(kind) is bool, isinstance(shown.type, CommaList)
        several = shown.settings or (_is_repeatable(kind, default) and not listed)
        super().__init__(
            names,
            type=None if flag else shown.type or _type(kind, several),
            is_flag=flag,
            default=None,
            multiple=several,
            required=default is dataclasses.MISSING,
            metavar=shown.metavar or ("NAME=VALUE" if shown.settings else None),
            help=shown.help or _plain(text) + (" Repeatable." if several else ""),
        )

    def chosen(self, value: Any) -> Any:
        """Return the value of the field that the ``value`` of the option means."""
        if self.shown.settings:
            return parsed(bare_type(self.kind), value)
        if isinstance(self.type, CommaList):
            return tuple(from_text(get_args(bare_type(self.kind))[0], part) for part in value)
        return not value if self.shown.off else value

    def unset(self) -> Any:
        """Return the value that means the default of the field, None where there is none."""
        if self.shown.settings:
            return None
        return not self.default_value if self.shown.off else self.default_value

    def get_help_extra(self, context: click.Context) -> Any:
        """Return what click adds to the help, with the default of the field."""
        extra = super().get_help_extra(context)
        text = self.shown.default
        if text is None and not self.is_flag and self.default_value not in (None, "", ()):
            text = "" if self.shown.settings else value_text(self.default_value)
        if text:
            extra["default"] = text
        return extra


def config_options(
    kind: type[Any],
    changed: Mapping[str, Shown | None] | None = None,
    *,
    defaults: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command one option for each field of ``kind``.

    The fields of a nested config become options too. The command's function gets ``options``: what
    the user chose, as :func:`ivr.pipeline.runtime.config_options.with_options` takes it.

    Args:
        kind: a config.
        changed: options that differ from their fields, by the name of the field; a field with None
            gets no option.
        defaults: what is not given has the default of its field; false for a command whose options
            change a config that another option names.
    """
    found = list(_options(kind, (), changed or {}, defaults))

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(found):
            function = option(function)
        return function

    return decorate


def device_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return --device for a command that has no config."""
    return click.option("--device", default=RunConfig.device, show_default=True, help=text)


def take_options(command: click.Command, context: click.Context) -> None:
    """Put the values of the config's options into ``context.params`` as one mapping."""
    options = [parameter for parameter in command.params if isinstance(parameter, ConfigOption)]
    if not options:
        return
    chosen: dict[str, Any] = {}
    for option in options:
        assert option.name is not None
        value = context.params.pop(option.name)
        if is_given(context, option):
            place = chosen
            for name in option.path[:-1]:
                place = place.setdefault(name, {})
            value = option.chosen(value)
            held = place.get(option.path[-1])
            place[option.path[-1]] = held | value if isinstance(held, dict) else value
    context.params[OPTIONS] = chosen


def is_given(context: click.Context, parameter: click.Parameter) -> bool:
    """Return whether the user chose the value, on the command line or in a config file."""
    source = context.get_parameter_source(parameter.name or "")
    return source not in (None, click.core.ParameterSource.DEFAULT)


def _options(
    kind: type[Any], path: tuple[str, ...], changed: Mapping[str, Shown | None], defaults: bool
) -> Iterator[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """Yield the decorators that add the options of ``kind``, a config at ``path``."""
    texts, hints = attribute_texts(kind), field_hints(kind)
    for field in dataclasses.fields(kind):
        shown = changed.get(field.name, Shown())
        if shown is None:
            continue
        place, hint = (*path, field.name), hints[field.name]
        if dataclasses.is_dataclass(bare_type(hint)) and not (shown.settings or shown.type):
            yield from _options(bare_type(hint), place, changed, defaults)
        else:
            names = shown.names or (f"--{field.name.replace('_', '-')}",)
            yield click.option(
                *names, "_".join(("config", *place)), cls=ConfigOption, path=place, kind=hint,
                default=_default(field) if defaults else None, shown=shown,
                text=texts.get(field.name, ""),
            )  # fmt: skip
        if shown.settings:  # single settings that have an option of their own as well
            inner = bare_type(hint)
            own = {one.name: changed.get(one.name) for one in dataclasses.fields(inner)}
            yield from _options(inner, place, own, defaults)


def _default(field: "dataclasses.Field[Any]") -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _is_repeatable(kind: Any, default: Any) -> bool:
    """Return whether the option is given several times: a tuple that is empty by default."""
    return get_origin(bare_type(kind)) is tuple and default == ()


def _type(kind: Any, several: bool) -> "click.ParamType[Any]":
    choices, bare = choices_of(kind), bare_type(kind)
    if choices:
        return click.Choice(choices)
    if get_origin(bare) is tuple:
        return _type(get_args(bare)[0], False) if several else CommaList()
    if bare is Path:
        return click.Path(path_type=Path)
    return _TYPES.get(bare, click.STRING)


def _plain(text: str) -> str:
    """Return the text of a docstring as help: without marks and roles, with a capital letter."""
    text = re.sub(r" ?\(?:\w+:`[^`]*`\)?", "", text).replace("``", "")
    return text[:1].upper() + text[1:]
