"""Run a command, and print its wall time in seconds and its peak memory in MiB.

``python benchmarks/timed_process.py PROGRAM [ARGUMENT ...]``

A small process of its own for that: Linux counts the memory of whoever starts a command as memory of the
command, which would seem as large as a starter that holds networks.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Run the command without its output; exit as it does."""
    no_output = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    started = time.perf_counter()
    process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[no_output])
    _, status, usage = os.wait4(process, 0)
    print(time.perf_counter() - started, usage.ru_maxrss / 1024)
    sys.exit(abs(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    main()
