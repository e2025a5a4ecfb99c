"""Runs tests.bench.replanning: `python -m tests.bench_replanning`."""

from tests.bench.replanning import main

if __name__ == "__main__":
    main()
