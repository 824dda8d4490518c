"""Adds rows to an archive for ever and reports each block; to be killed by tests and benchmarks.

Usage: python archive_writer.py ARCHIVE FIRST [ROWS]
"""

import itertools
import sys

from archive_rows import item_rows

from ivr.pipeline.archive.archive import open_archive


def main(place: str, first: int, rows: int) -> None:
    """Add block after block, new rows and rows in place of earlier ones in turn."""
    archive = open_archive(place)
    print("ready", flush=True)
    for block in itertools.count(first):
        names = [f"{block}_{row}.tif" for row in range(rows)]
        archive.append(item_rows(names, [[block % 256, 0]] * rows))
        print(f"added {block}", flush=True)
        archive.write(item_rows(names, [[block % 256, 1]] * rows))
        print(f"replaced {block}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3)
