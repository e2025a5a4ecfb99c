"""How people write a length of time: `90s`, `15m`, `2h`, `1d`."""

from __future__ import annotations

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = 3_650 * UNITS["d"]


def duration(value: object) -> float:
    """Seconds of `90s`, `15m`, `2h`, `1d`; ValueError for anything else."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value), re.ASCII)
    if found is None or int(found[1]) == 0:
        raise ValueError("must be a duration like 90s, 15m, 2h or 1d")
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds > LONGEST:
        raise ValueError("must be a duration of at most 3650d")
    return float(seconds)
