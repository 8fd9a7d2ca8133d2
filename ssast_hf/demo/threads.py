"""How many threads to compute with: as many as there are idle processors, since waiting ones thrash."""

import os
from pathlib import Path


# A model as small as the bundled one gets no faster with more. Measured on two processors that eleven programs wanted:
# a step took 0.5 s with one thread and 2.1 s with two.
MOST = 4
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of all processors per so many


def choose_threads() -> tuple[int, str]:
    """The number of threads, and why, for people; `OMP_NUM_THREADS` decides if it is set."""
    if (wanted := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(wanted) > 0:
        return int(wanted), f"OMP_NUM_THREADS={wanted}"
    processors = count_processors()
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, min(processors - busy, MOST)), f"{processors} processors, {min(busy, processors)} of them busy"


def count_processors() -> int:
    """Those that this process may use, which a container or a batch system may have limited."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share, _, period = (QUOTA.read_text() if QUOTA.exists() else "max").partition(" ")
    if share.isdigit() and period.strip().isdigit():
        count = min(count, max(1, int(share) // int(period)))
    return count
