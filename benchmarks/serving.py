"""How fast and how steady `ivr serve` answers, on an archive of random codes.

    python benchmarks/serving.py --model demo/model --voice QUESTION.wav --rows 1000000
    python benchmarks/serving.py --model demo/model --voice QUESTION.wav --rows 10000000

* one client: time of a request with a recording to ten hits, median and 99 %, and of its stages;
* memory: what the service and its readers of uploads hold, and the service beyond 16 bytes per row:
  resident (RSS), and with the pages that processes share divided among them (PSS);
* start: from the call of the command to its first answer;
* many clients: 64 clients, good and bad requests mixed; statuses that are not the deserved ones,
  the 99 % time beside the median of one client and beside what queueing alone costs (the clients
  times the processor time of one request over the cores), and memory before and after;
* ``--connections 1000``: a good client among as many connections that send nothing, or one byte
  per second;
* ``--crowds 5``: the same five times in a row, to see whether memory goes on growing.

The service computes with one thread. Other work on the machine slows requests: the table has the
load at the time.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
from archive import random_rows

from ivr.pipeline.archive.archive import open_archive
from ivr.pipeline.archive.create import archive_create

MEGABYTE = 1e6


def made_archive(place: Path, model: Path, rows: int) -> None:
    """Write an archive of ``rows`` random codes for ``model``, unless it is there."""
    if place.exists():
        return
    archive_create(place, model)
    archive = open_archive(place)
    rng = np.random.default_rng(1)
    for start in range(0, rows, 500_000):
        archive.append(random_rows(rng, start, min(500_000, rows - start)))


def started(place: Path, log: Path) -> tuple[subprocess.Popen[bytes], str, float]:
    """Return a service of one thread, its address, and the seconds until its first answer."""
    begun = time.perf_counter()
    options = ["--port", "0", "--threads", "1", "--requests", "128"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ivr", "serve", str(place), *options],
            stderr=file,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    while "http://" not in (said := log.read_text()):
        assert process.poll() is None, said
        time.sleep(0.01)
    address = next(word for word in said.split() if word.startswith("http://"))
    httpx2.get(f"{address}health").raise_for_status()
    return process, address, time.perf_counter() - begun


def memory(process: psutil.Process) -> tuple[float, float]:
    """Return RSS and PSS of a process, MB."""
    found = process.memory_full_info()
    return found.rss / MEGABYTE, found.pss / MEGABYTE


def said_memory(service: psutil.Process, rows: int) -> str:
    """Return what the service and its readers hold."""
    rss, pss = memory(service)
    codes = 16 * rows / MEGABYTE
    readers = [memory(one) for one in service.children(recursive=True)]
    return (
        f"RSS {rss:.0f} MB, {rss - codes:.0f} beyond 16 bytes per row; "
        f"PSS {pss:.0f} MB, {pss - codes:.0f} beyond; readers and their keeper "
        + ", ".join(f"RSS {one:.0f} PSS {other:.0f}" for one, other in readers)
    )


def spent(*processes: psutil.Process) -> float:
    """Return the processor time of processes so far, seconds."""
    return sum(one.cpu_times().user + one.cpu_times().system for one in processes)


def one_client(address: str, voice: bytes, rounds: int) -> tuple[np.ndarray, dict[str, float]]:
    """Return seconds [rounds] of requests, and the median of each stage."""
    times, stages = [], list[dict[str, float]]()
    with httpx2.Client(base_url=address, timeout=120) as client:
        for _ in range(20):
            client.post("/search", files={"voice": voice}).raise_for_status()
        for _ in range(rounds):
            start = time.perf_counter()
            answer = client.post("/search", files={"voice": voice}).raise_for_status()
            times.append(time.perf_counter() - start)
            stages.append(answer.json()["seconds"])
    medians = {name: float(np.median([one[name] for one in stages])) for name in stages[0]}
    return np.array(times), medians


def many_clients(
    address: str, voice: bytes, requests: int, clients: int
) -> tuple[np.ndarray, Counter[str]]:
    """Return the seconds of the good requests, and what was answered that was not deserved."""
    kinds: list[tuple[dict[str, Any], dict[str, str], int]] = [
        ({"voice": voice}, {}, 200),
        ({"voice": voice}, {"count": "50"}, 200),
        ({"voice": b"no sound at all"}, {}, 422),
        ({"voice": voice[: len(voice) // 2]}, {}, 422),
        ({"voice": voice}, {"where": "no_such_column = 1"}, 422),
        ({"voice": voice}, {"count": "0"}, 422),
        ({"wrong": voice}, {}, 422),
    ]

    def work(number: int) -> tuple[list[float], Counter[str]]:
        rng, good, bad = np.random.default_rng(number), [], Counter[str]()
        with httpx2.Client(base_url=address, timeout=300) as client:
            for _ in range(requests // clients):
                files, data, deserved = kinds[rng.integers(len(kinds))]
                start = time.perf_counter()
                status = client.post("/search", files=files, data=data).status_code
                if status != deserved:
                    bad[f"{status} in place of {deserved}"] += 1
                elif status == 200:
                    good.append(time.perf_counter() - start)
        return good, bad

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(work, range(clients)))
    return np.concatenate([good for good, _ in found]), sum((bad for _, bad in found), Counter())


def crowd(
    service: psutil.Process, address: str, voice: bytes, options: argparse.Namespace, middle: float
) -> None:
    """Ask with many clients and print what they were answered; ``middle`` is one client's, ms."""
    serving, client = [service, *service.children(recursive=True)], psutil.Process()
    before, served, asked = memory(service)[0], spent(*serving), spent(client)
    start = time.perf_counter()
    good, bad = many_clients(address, voice, options.requests, options.clients)
    wall = time.perf_counter() - start
    share = 1000 / options.requests
    served, asked = share * (spent(*serving) - served), share * (spent(client) - asked)
    cores = len(os.sched_getaffinity(0))
    floor = options.clients * (served + asked) / cores
    median, high = 1000 * np.percentile(good, (50, 99))
    print(
        f"{options.clients} clients, {options.requests} requests in {wall:.0f} s, load "
        f"{os.getloadavg()[0]:.1f}: {dict(bad) or 'none'} undeserved; good ones median "
        f"{median:.0f} ms, 99 % {high:.0f} ms, {high / middle:.1f} times the median of one"
    )
    print(
        f"processor time per request: service {served:.1f} ms, client {asked:.1f} ms; on {cores} "
        f"cores queueing alone costs {floor:.0f} ms, 99 % is {high / floor:.1f} times that; memory "
        f"{memory(service)[0] - before:+.0f} MB"
    )


def among_connections(address: str, voice: bytes, number: int, seconds: float) -> str:
    """Return how a good client fares among connections that send nothing, or a byte per second.

    Args:
        address: the service.
        voice: the recording of the good client, which connects anew for each request.
        number: open connections of the others, half of them slow; a lost one is opened again.
        seconds: for how long.
    """
    host, port = address.removeprefix("http://").rstrip("/").rsplit(":", 1)
    files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(files, number + 256), hard), hard))
    end, most, closed = time.monotonic() + seconds, 0, 0
    others: list[socket.socket] = []
    done = threading.Event()

    def hold() -> None:
        nonlocal most, closed
        while not done.is_set():
            while len(others) < number:
                others.append(socket.create_connection((host, int(port)), timeout=30))
            most = max(most, len(others))
            for place, one in enumerate(list(others)):
                try:
                    one.send(b"P" if place % 2 else b"")
                    one.setblocking(False)
                    gone = one.recv(1) == b""
                except BlockingIOError:
                    gone = False
                except OSError:
                    gone = True
                if gone:
                    others.remove(one)
                    one.close()
                    closed += 1
            done.wait(1)

    holder = threading.Thread(target=hold)
    holder.start()
    while most < number and holder.is_alive():
        time.sleep(0.1)
    times, bad = [], Counter[str]()
    while time.monotonic() < end:
        start = time.perf_counter()
        try:
            with httpx2.Client(base_url=address, timeout=60) as client:
                status = str(client.post("/search", files={"voice": voice}).status_code)
        except httpx2.HTTPError as error:
            status = type(error).__name__
        if status == "200":
            times.append(time.perf_counter() - start)
        else:
            bad[status] += 1
    done.set()
    holder.join()
    for one in others:
        one.close()
    median, high = 1000 * np.percentile(times, (50, 99))
    return (
        f"among {most} open connections, idle and slow ({closed} closed by the service): "
        f"{len(times)} requests answered, median {median:.0f} ms, 99 % {high:.0f} ms; "
        f"{dict(bad) or 'none'} not answered"
    )


def main() -> None:
    """Measure the service and print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="packed model")
    parser.add_argument("--voice", type=Path, required=True, help="a recording")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--crowds", type=int, default=1, help="times that the clients ask")
    parser.add_argument("--connections", type=int, default=0, help="idle and slow ones beside it")
    parser.add_argument("--work", type=Path, default=Path("build/serving"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    place = options.work / f"{options.rows}"
    made_archive(place, options.model, options.rows)
    voice = options.voice.read_bytes()
    process, address, start = started(place, options.work / "serve.log")
    try:
        service = psutil.Process(process.pid)
        print(f"{options.rows} rows, load {os.getloadavg()[0]:.1f}")
        print(f"start to first answer: {start:.1f} s")
        times, stages = one_client(address, voice, options.rounds)
        middle, late = 1000 * np.percentile(times, (50, 99))
        parts = ", ".join(f"{name} {1000 * value:.1f}" for name, value in stages.items())
        print(f"one client: median {middle:.1f} ms, 99 % {late:.1f} ms (medians: {parts})")
        print(f"memory: {said_memory(service, options.rows)}")
        for _ in range(options.crowds if options.requests else 0):
            crowd(service, address, voice, options, middle)
            print(f"memory after it: {said_memory(service, options.rows)}")
        if options.connections:
            print(among_connections(address, voice, options.connections, seconds=40))
            print(
                f"handles of the service: {service.num_fds()}; {said_memory(service, options.rows)}"
            )
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
