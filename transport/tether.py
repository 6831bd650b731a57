"""Processes that cannot outlive the one that started them: a shim that asks the kernel, then becomes the program.

The shim is a program of its own because `subprocess`'s ``preexec_fn`` is unsafe, and warned about since Python 3.12,
once the parent has threads.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_NOT_FOUND = 127


def tethered(argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` so that the kernel kills it (SIGKILL) when the caller ends, however it ends.

    Linux only (``prctl(2)``, ``PR_SET_PDEATHSIG``); elsewhere `argv` unchanged. The kernel watches the *thread* that
    starts the command: start it from one that lives as long as it should. What `argv` itself starts is not tethered.
    A program that cannot be executed exits 127 with a line on stderr.
    """
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def _become(parent: int, argv: list[str]) -> int:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was asked
        return _NOT_FOUND
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - without a shell is the point
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
    return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(_become(int(sys.argv[1]), sys.argv[2:]))
