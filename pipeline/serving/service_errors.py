"""Errors of the service that more than one of its modules raise."""

from ivr.errors import IvrError


class ServeError(IvrError):
    """An archive that cannot be served as asked, in one line."""


class UnknownItemError(IvrError):
    """An item that the archive does not have, or that has no such file."""


class OverloadedError(IvrError):
    """A request that cannot be answered at the moment, and may be later, in one line."""
