"""The way in, for the command line and for services: who is told to stop before there is anything to end has nothing to say."""

import importlib
import io
import signal
import sys


def main() -> None:
    """The command line. While modules are imported a Ctrl-C ends it at once: 130 in a shell."""
    before = signal.getsignal(signal.SIGINT)
    _end_at_once()
    from cli.main import app

    signal.signal(signal.SIGINT, before)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot write a glyph still gets the words
    app()


def serve(module: str) -> None:
    """A service, by the module that has its `main`. Until it listens for a Ctrl-C itself, one ends it at once.

    Python's own handler would be called only after whatever a library waits for, like a Kafka that does not answer.
    """
    _end_at_once()
    importlib.import_module(module).main()


def _end_at_once() -> None:
    """As any program that knows of no Ctrl-C. Where none is to be heard, as behind `nohup`, it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    serve(sys.argv[1])
