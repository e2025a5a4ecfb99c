"""Runs tests.bench.asking: `python -m tests.bench_asking`."""

import sys

from tests.bench.asking import main

if __name__ == "__main__":
    sys.exit(main())
