"""A process that starts warm is told from a cold one by nothing but how fast it starts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.commands import TOP, cold, run
from tests.support.served import HERE, SECRET, SOURCE, Served, event


@pytest.mark.parametrize(
    ("arguments", "code"), [("keygen --help", 0), ("executions --nonsense", 2), ("check", 1)]
)
def test_a_command_says_the_same_and_ends_the_same(
    tmp_path: Path, arguments: str, code: int
) -> None:
    (tmp_path / "routes.yaml").write_text(SOURCE.replace("%s", "${KEY}"), "utf-8")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    environ = {**clean, "PYTHONPATH": str(TOP), "RECEIVER_NONSENSE": "x"}
    by_cold = cold(tmp_path, arguments.split(), b"", environ)
    by_warm = run(tmp_path, *arguments.split(), RECEIVER_NONSENSE="x")
    assert by_cold.returncode == code
    assert (by_warm.returncode, by_warm.stdout, by_warm.stderr) == (
        by_cold.returncode, by_cold.stdout, by_cold.stderr
    )  # fmt: skip


def test_it_has_the_environment_and_the_input_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(SOURCE.replace("%s", "${KEY}"), "utf-8")
    assert run(tmp_path, "check").returncode == 1
    assert run(tmp_path, "check", KEY=SECRET).returncode == 0
    assert run(tmp_path, "check").returncode == 1
    body = event("FAILED", "x", "e-1")
    done = run(tmp_path, "explain", "-", "--source", "asteroid", stdin=body, KEY=SECRET)
    assert (done.returncode, b"first_seen" in done.stdout) == (0, True), done


@pytest.mark.parametrize(
    ("sig", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)]
)
def test_a_server_ends_by_the_signal_that_it_gets(
    tmp_path: Path, sig: signal.Signals, code: int
) -> None:
    """Several at once, each with its own file and its own end."""

    async def ends() -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        rules = "destinations:\n  ops: console://\n"
        async with (
            Served(tmp_path / "one", (), rules, HERE) as one,
            Served(tmp_path / "two", (), rules, HERE) as two,
        ):
            assert isinstance(one.process, warm.Process)
            with pytest.raises(subprocess.TimeoutExpired):
                one.process.wait(0.01)
            await one.post(event("FAILED", "x", "e-1"))
            one.kill(sig)
            assert await one.ended(20) == code
            assert one.rows("SELECT count(*) FROM event") == [(1,)]
            assert (await two.ledger())["accepted"] == 0

    asyncio.run(ends())


def test_what_an_interpreter_reads_when_it_starts_makes_it_start_cold() -> None:
    assert warm.is_possible({**os.environ, "RECEIVER_PORT": "1", "PYTHONPATH": str(TOP)})
    for name in ("PYTHONIOENCODING", "PYTHONPATH", "LC_ALL", "LD_PRELOAD"):
        assert not warm.is_possible({**os.environ, name: "other"})
