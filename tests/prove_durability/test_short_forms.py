"""The short forms of `tests.prove_durability`: the same proofs with small counts.

They need strace, libfaketime and the right to mount. Where `CI` is set the tools have to be there
(and the right to mount is used if there is one); elsewhere a proof that cannot be made is skipped,
and says why.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.prove_durability.proofs import prove


@pytest.mark.parametrize(
    "command",
    [
        "kills --points 40 --kills 8 --cold 24",
        "order --events 90",
        "losses --events 90 --losses 60",
        "storage --only full",
        "storage --only beside",
        "storage --only eio",
        "storage --only moved",
        "storage --only read-only",
        "storage --only files",
        "storage --only clock",
        "stops --runs 2",
    ],
)
def test_the_promise_holds_in_short(command: str) -> None:
    need_strace()
    report = prove(*command.split(), "--seed", "4")
    assert report.broken == [], str(report)
    if report.skipped:
        # Where `CI` is set and it may mount, it has to.
        may = bool(os.environ.get("CI")) and may_mount()
        assert not (may and "mount" in report.skipped), report.skipped
        pytest.skip(report.skipped)


def test_the_order_of_system_calls_is_red_without_full_synchronisation() -> None:
    need_strace()
    report = prove("planted", "--only", "NORMAL")
    assert report.broken == [], str(report)


def need_strace() -> None:
    """Skip where strace is missing, which `CI` makes a failure."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (apt-get install strace)")


def may_mount() -> bool:
    """Whether this process has the capability to (CAP_SYS_ADMIN)."""
    status = Path("/proc/self/status").read_text("ascii")
    (effective,) = re.findall(r"^CapEff:\s*([0-9a-f]+)$", status, re.M)
    return bool(int(effective, 16) >> 21 & 1)
