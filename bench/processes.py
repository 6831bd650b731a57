"""What a process has used, as Linux tells (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has had, all of its threads, in user and in kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What the scheduler has given a process's first thread, in milliseconds."""

    ran_ms: float
    waited_ms: float
    """It was ready to run, and others had the cores."""

    def since(self, before: "Scheduled") -> "Scheduled":
        """What has come on since an earlier reading."""
        return Scheduled(self.ran_ms - before.ran_ms, self.waited_ms - before.waited_ms)


def scheduled(pid: int) -> Scheduled:
    """Of the first thread, in which an event loop runs (`/proc/PID/schedstat`, Linux's sched-stats.rst)."""
    ran_ns, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()
    return Scheduled(int(ran_ns) / 1e6, int(waited_ns) / 1e6)


def memory_mb(pid: int, field: str = "VmHWM") -> float:
    """Resident memory at its peak, or now (``VmRSS``)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024
