"""Calls of ``ivr`` in child processes, where a signal, a hang and a traceback can be told apart.

A server that has imported what takes long forks a child for a list of calls. A child that is ended
has not answered to the call that ended it; the rest of the list is given to another one.
"""

import multiprocessing
import os
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from click.testing import CliRunner

DOCUMENTED = {0, 1, 2, 3, 75}
SECONDS = 60  # for one call
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "click.testing",
        "ivr.cli.prepare",
        "ivr.pipeline.datasets.audit",
        "ivr.pipeline.evaluation.evaluate",
        "ivr.pipeline.extraction.extract",
        "ivr.pipeline.packing.search",
        "ivr.pipeline.runs.train",
        "ivr.pipeline.runs.verify",
    ]
)


@dataclass(frozen=True)
class Call:
    """One call and the files that it finds.

    Attributes:
        arguments: after ``ivr``.
        whole: folder that is copied to ``folder`` before the call, None to leave it as it is.
        folder: where the call works.
        name: of a file in ``folder`` that is then written with ``content``, ``""`` for none.
        content: of that file.
    """

    arguments: tuple[str, ...]
    whole: Path | None = None
    folder: Path = Path()
    name: str = ""
    content: bytes = b""

    def __str__(self) -> str:
        """Return the command."""
        return f"ivr {' '.join(self.arguments)} ({self.name or self.folder})"


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Attributes:
        call: the call.
        status: its exit status; that of the process, less than zero, where a signal ended it.
        stdout: what it printed.
        stderr: what it said.
        traceback: of an exception that nobody caught, ``""`` for none.
    """

    call: Call
    status: int
    stdout: str = ""
    stderr: str = ""
    traceback: str = ""

    @property
    def error(self) -> str:
        """The one line that begins with ``Error:``, ``""`` where it is not the last."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("Error: ")]
        return lines[0] if lines and lines == self.stderr.splitlines()[-1:] else ""

    def fault(self) -> str:
        """Return what is wrong with the outcome in words, ``""`` for nothing."""
        if self.traceback or self.status not in DOCUMENTED:
            return f"{self.call}: ended with {self.status}\n{self.stderr}{self.traceback}"
        if self.status == 1 and not self.error and not self.stdout:
            return f"{self.call}: status 1 without one line\n{self.stderr}"
        return ""


def outcomes(calls: Sequence[Call], prepare: Callable[[], None] | None = None) -> list[Outcome]:
    """Return the outcome of each call.

    Args:
        calls: what to call, in order.
        prepare: called in the child before the first call; a function of a module.
    """
    found: list[Outcome] = []
    while len(found) < len(calls):
        mine, theirs = _CONTEXT.Pipe(duplex=False)
        child = _CONTEXT.Process(target=_answer, args=(calls[len(found) :], prepare, theirs))
        child.start()
        theirs.close()
        while True:
            try:
                found.append(mine.recv())
            except EOFError:
                break
        child.join()
        if len(found) < len(calls):
            found.append(Outcome(calls[len(found)], child.exitcode or 0, stderr="process ended"))
    return found


def _answer(
    calls: Sequence[Call], prepare: Callable[[], None] | None, connection: Connection
) -> None:
    """Call and send outcomes; a call that takes too long ends the process by an alarm."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.fsync = lambda _: None  # nobody pulls the plug here
    if prepare:
        prepare()
    for call in calls:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        connection.send(_outcome(call))
        signal.alarm(0)


def _outcome(call: Call) -> Outcome:
    from ivr.cli import main

    if call.whole:
        shutil.rmtree(call.folder, ignore_errors=True)
        shutil.copytree(call.whole, call.folder)
    if call.name:
        (call.folder / call.name).write_bytes(call.content)
    result = CliRunner().invoke(main, call.arguments)
    caught = result.exception if not isinstance(result.exception, SystemExit) else None
    words = "".join(traceback.format_exception(caught)).rstrip() if caught else ""
    return Outcome(call, result.exit_code, result.stdout, result.stderr, words)
