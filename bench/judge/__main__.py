"""`python -m bench.judge [--minutes 5] [--rates 1 10 100] [--faults …] [--results FILE] [--write]`.

Simulates as long as it may, prints the tables of all that was simulated so far, and with `--write` writes
`docs/statistics.md` and its plots from it, and the results once more with a line a run. `--minutes 0` simulates nothing: it makes the tables from the results that are
shipped.
"""

import argparse
import time
from pathlib import Path

from bench.judge.document import write
from bench.judge.faults import FAULTS, RATES
from bench.judge.results import FILE
from bench.judge.simulate import simulate
from bench.judge.tables import tables


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to simulate; 0: not at all")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=(1.0, 10.0), choices=RATES, help="new sessions a second"
    )
    parser.add_argument("--faults", nargs="+", default=[*FAULTS], choices=FAULTS, help="only these")
    parser.add_argument("--results", type=Path, default=FILE, help="where runs are kept, and gone on with")
    parser.add_argument("--write", action="store_true", help="write docs/statistics.md and its plots")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    found = simulate(options.results, tuple(options.rates), lambda: time.monotonic() < end, options.faults)
    print(tables(found))
    if options.write:
        found.save(options.results)
        write(found)


if __name__ == "__main__":
    main()
