"""Files read in parallel: threads, processes, or the workers of a Dask cluster."""

import asyncio
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import joblib

from ivr.errors import IvrError

from .worker_tasks import FeatureRow, SkippedFile

Rows = Generator[FeatureRow | SkippedFile, None, None]
PATIENCE = 10.0  # seconds to wait for the scheduler
WORKERS_PATIENCE = 300.0  # seconds to wait for the first worker


class ReadersError(IvrError):
    """Parallel readers that cannot be started, in one line."""


class LostReadersError(ReadersError):
    """Parallel readers that ended while they worked, in one line."""


@dataclass(frozen=True)
class Readers:
    """Parallel readers of files.

    Attributes:
        jobs: number of parallel readers on this machine, 0 for one per core.
        ahead: largest number of rows that are read ahead.
        scheduler_address: address of a Dask cluster that reads the files, ``""`` for this machine.
            Its workers must see the files under the same paths.
    """

    jobs: int
    ahead: int
    scheduler_address: str = ""

    def read(
        self,
        function: Callable[..., FeatureRow | SkippedFile],
        names: Sequence[str],
        arguments: tuple[Any, ...],
        prefer: Literal["threads", "processes"],
        further: Callable[[str], tuple[Any, ...]] = lambda name: (),
    ) -> Rows:
        """Yield ``function(name, *arguments, *further(name))`` in the order of ``names``.

        Two windows of files are being read at any time, so that readers do not wait for each other
        at the end of a window. Memory holds at most :attr:`ahead` rows.

        Raises:
            ReadersError: the cluster does not answer.
            LostReadersError: reader processes or the cluster were ended from outside.
        """
        window = max(1, self.ahead // 2)
        running: deque[Generator[FeatureRow | SkippedFile, None, None]] = deque()
        try:
            with self._cluster() as cluster:
                for start in range(0, len(names), window):
                    tasks = [
                        joblib.delayed(function)(name, *arguments, *further(name))
                        for name in names[start : start + window]
                    ]
                    running.append(self._parallel(cluster, len(names), prefer)(tasks))
                    if len(running) == 2:
                        for row in running[0]:  # not yield from: it is closed below, not here
                            yield row
                        running.popleft()
                while running:
                    for row in running[0]:
                        yield row
                    running.popleft()
        except self._lost() as error:
            raise LostReadersError(
                f"{self._who()} ended from outside; what was finished is kept: call again"
            ) from error
        finally:
            # joblib warns of results that were not fetched; a call that stops early leaves some.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                for results in running:
                    results.close()

    def _parallel(self, cluster: object, most: int, prefer: str) -> joblib.Parallel:
        # joblib gives each worker process one BLAS thread if there is one worker per core.
        if cluster is None:
            jobs = min(self.jobs or joblib.cpu_count(), most)
            return joblib.Parallel(jobs, prefer=prefer, return_as="generator")
        with joblib.parallel_config(
            "dask", client=cluster, wait_for_workers_timeout=WORKERS_PATIENCE
        ):
            return joblib.Parallel(-1, return_as="generator")

    def _who(self) -> str:
        if self.scheduler_address:
            return f"the Dask cluster at {self.scheduler_address} or its workers were"
        return "a reader process was, for lack of memory perhaps (give fewer --jobs),"

    def _lost(self) -> tuple[type[BaseException], ...]:
        """Return the exceptions that mean that readers ended."""
        if not self.scheduler_address:
            return (BrokenExecutor,)
        try:
            from distributed import CancelledError, KilledWorker
        except ImportError:
            return ()
        # The functions catch errors of files themselves: an OSError here comes from a connection.
        return CancelledError, KilledWorker, OSError

    def _cluster(self) -> AbstractContextManager[Any]:
        if not self.scheduler_address:
            return nullcontext()
        try:
            from distributed import Client
        except ImportError as error:
            raise ReadersError(
                "--scheduler-address needs Dask: pip install 'image-voice-hashing[dask]'"
            ) from error
        try:
            _knock(self.scheduler_address)
            client: AbstractContextManager[Any] = Client(  # type: ignore[no-untyped-call]
                self.scheduler_address, timeout=PATIENCE, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise ReadersError(
                f"{self.scheduler_address}: no Dask scheduler answers there "
                f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            ) from error
        return client


def _knock(address: str) -> None:
    """Connect to the scheduler at ``address`` and leave.

    A client that could not be made keeps the process from ending: at exit it waits for ever for an
    event loop that has ended (distributed 2026.8). So none is made unless a scheduler answers.

    Raises:
        OSError: none answers.
        ValueError: this is no address.
    """
    from distributed.comm.core import connect

    async def knock() -> None:
        connection = await asyncio.wait_for(
            connect(address, timeout=PATIENCE),  # type: ignore[no-untyped-call]
            2 * PATIENCE,
        )
        connection.abort()

    # In a thread of its own: the caller, a notebook for instance, may run an event loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, knock()).result()
