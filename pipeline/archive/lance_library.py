"""The one door to LanceDB: where archives are, its errors in one line, commits that conflict.

Only this module imports ``lancedb``.
"""

import errno
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ivr.config import OptionError
from ivr.errors import IvrError
from ivr.pipeline.runtime.near_paths import instead

Value = TypeVar("Value")
TABLE = "items"
"""Name of the table of an archive; a local archive has the folder ``items.lance``."""
OBJECT_STORES = ("s3://", "gs://", "az://")
"""Beginnings of places that are no folders."""
REPEATS = 30
LONGEST_WAIT = 2.0  # seconds between two tries of a commit
# A client of REST services that LanceDB imports and that an archive never uses; it takes longer to
# import than everything else together.
_UNUSED = ("lance_namespace", "lance_namespace_urllib3_client")
_NATIVE = "lancedb._lancedb"
_STABLE_ROW_IDS = {"new_table_enable_stable_row_ids": "true"}
_IN_THE_LIBRARY = re.compile(r",?\s*(/\S*\.rs:\d+(:\d+)?|Backtrace\b.*)", re.DOTALL)
_PANIC = "RustPanic"  # a class that each library in Rust has of its own
_COLLAPSED = re.compile(r"^(s3|gs|az):/(?!/)")  # an address that was made a Path
_OF_THE_SYSTEM = re.compile(r"\(os error (\d+)\)")
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_NO_TABLE = re.compile(r"Table '\w+' was not found")
_NO_FILE = re.compile(r"\bnot found\b.*\.(lance|manifest|idx|txn)\b", re.IGNORECASE | re.DOTALL)


class ArchiveError(IvrError):
    """An archive that cannot be used as asked, in one line."""


class LostVersionError(ArchiveError):
    """A version of an archive whose files are gone: it was dropped, or the whole archive was."""


class _Placeholder(ModuleType):
    """A module whose every name is a class of its own that does nothing."""

    __path__: list[str] = []  # noqa: RUF012
    kinds: dict[str, type[Exception]] = {}  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.kinds.setdefault(name, type(name, (Exception,), {}))


class _Without(MetaPathFinder, Loader):
    """Finds placeholders for the packages that are not used."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        unused = name.partition(".")[0] in _UNUSED
        return ModuleSpec(name, self, is_package=True) if unused else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def lancedb() -> Any:
    """Return the module ``lancedb``, imported without its client of REST services.

    Raises:
        ArchiveError: the extra ``archive`` is not installed.
    """
    if "lancedb" not in sys.modules:
        os.environ.setdefault("LANCE_LOG", "error")
        os.environ.setdefault("LANCEDB_LOG", "error")
        _import_quickly()
    try:
        import lancedb
    except ImportError as error:
        raise ArchiveError(
            f"archives need LanceDB ({error}): pip install 'image-voice-hashing[archive]'"
        ) from error
    return lancedb


def _import_quickly() -> None:
    """Import ``lancedb`` with placeholders, unless something uses what they stand for."""
    if any(name in sys.modules for name in _UNUSED):
        return
    finder = _Without()
    sys.meta_path.insert(0, finder)
    try:
        import lancedb  # noqa: F401
    except Exception:
        # Another version of it that needs the real packages: the caller imports it as usual.
        # Its native module can be loaded once only.
        for name in [name for name in sys.modules if name.partition(".")[0] == "lancedb"]:
            if name != _NATIVE:
                del sys.modules[name]
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] in _UNUSED]:
            del sys.modules[name]


def place_of(place: str | Path) -> str:
    """Return where an archive is: the address of an object store as given, or an absolute path.

    Raises:
        OptionError: an empty path.
    """
    if not str(place):
        raise OptionError("the path of the archive is empty; name the archive")
    text = _COLLAPSED.sub(r"\1://", str(place).rstrip("/"))
    return text if text.startswith(OBJECT_STORES) else str(Path(text or "/").absolute())


def is_local(place: str) -> bool:
    """Return whether the archive at ``place`` is a folder."""
    return not place.startswith(OBJECT_STORES)


def is_archive(place: str | Path) -> bool:
    """Return whether ``place`` is a folder with an archive, or an address of an object store."""
    found = place_of(place)
    return not is_local(found) or (Path(found) / f"{TABLE}.lance").is_dir()


def connect(place: str) -> Any:
    """Return a connection to the database at ``place``; tables made by it have stable row ids."""
    library = lancedb()
    with lance_errors(place):
        return library.connect(place, storage_options=dict(_STABLE_ROW_IDS))


def open_items(place: str) -> Any:
    """Return the table of the archive at ``place``, at its latest version.

    Raises:
        ArchiveError: there is no archive, or it cannot be read.
    """
    if is_local(place) and not is_archive(place):
        found = instead(Path(place))
        what = f" ({found})" if found else ""
        raise ArchiveError(f"{place}: no archive{what}; make one with ivr archive create")
    connection = connect(place)
    try:
        return connection.open_table(TABLE)
    except (ValueError, RuntimeError, OSError) as error:
        if _NO_TABLE.search(str(error)):
            raise ArchiveError(f"{place}: no archive; make one with ivr archive create") from error
        raise ArchiveError(f"{place}: {one_line(error)}") from error


def open_further(place: str, name: str) -> Any:
    """Return the table ``name`` beside that of the items, None if there is none.

    Raises:
        ArchiveError: it cannot be read.
    """
    connection = connect(place)
    try:
        return connection.open_table(name)
    except (ValueError, RuntimeError, OSError) as error:
        if _NO_TABLE.search(str(error)):
            return None
        raise ArchiveError(f"{place}: {one_line(error)}") from error


def add_further(place: str, name: str, rows: Any) -> None:
    """Add ``rows`` to the table ``name`` beside that of the items, which is made if need be.

    Raises:
        ArchiveError: the archive cannot be written.
    """
    connection = connect(place)
    with lance_errors(place):
        table = connection.create_table(name, schema=rows.schema, exist_ok=True)
        retried(lambda: table.add(rows))


def index_configs(lists: int, sample_rate: int) -> tuple[Any, Any]:
    """Return the settings of an index over modalities, and of one over codes.

    Args:
        lists: number of lists that the codes are divided into.
        sample_rate: number of codes per list that the centres are computed from.
    """
    lancedb()
    from lancedb.index import Bitmap, IvfFlat

    return Bitmap(), IvfFlat(distance_type="hamming", num_partitions=lists, sample_rate=sample_rate)


@contextmanager
def lance_errors(place: str) -> Iterator[None]:
    """Turn errors of the library inside the block into :class:`ArchiveError`.

    What the system says of a place that cannot be written stays an ``OSError``, which names it.
    """
    try:
        yield
    except IvrError:
        raise
    except (ValueError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_WRITTEN:
            raise
        number = _OF_THE_SYSTEM.search(str(error))
        if number and int(number[1]) in _NOT_WRITTEN:
            raise OSError(int(number[1]), os.strerror(int(number[1])), place) from error
        kind = LostVersionError if _NO_FILE.search(str(error)) else ArchiveError
        raise kind(f"{place}: {one_line(error)}") from error
    except Exception as error:
        if type(error).__name__ != _PANIC:
            raise
        raise ArchiveError(
            f"{place}: LanceDB failed (a panic of the library); if a condition was given, write it "
            "in another way"
        ) from error


def retried(commit: Callable[[], Value]) -> Value:
    """Return ``commit()``, which is called again if another writer committed at the same moment.

    The waits between the calls are random and grow up to :data:`LONGEST_WAIT`.
    """
    for number in range(REPEATS):
        try:
            return commit()
        except (ValueError, RuntimeError, OSError) as error:
            if not is_conflict(error) or number == REPEATS - 1:
                raise
            # Not secret; different in each process.
            time.sleep(random.uniform(0, min(LONGEST_WAIT, 0.05 * 2**number)))
    raise AssertionError("the last try returns or raises")


def is_conflict(error: Exception) -> bool:
    """Return whether ``error`` says that another writer committed at the same moment."""
    text = str(error).lower()
    return "commit conflict" in text or "concurrent" in text


def one_line(error: BaseException) -> str:
    """Return the message of an error of the library without places in its source."""
    text = " ".join(_IN_THE_LIBRARY.sub("", str(error)).split())
    text = text.removeprefix("lance error: ").removeprefix("Invalid input, ")
    return text[:400] or type(error).__name__


def quoted(text: str) -> str:
    """Return ``text`` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def one_of(column: str, values: Sequence[str | int]) -> str:
    """Return the condition that ``column`` is one of ``values``, none of which is missing."""
    listed = ", ".join(quoted(one) if isinstance(one, str) else str(one) for one in values)
    return f"{column} IN ({listed})" if values else "false"
