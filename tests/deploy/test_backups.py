"""Restore drills: write, copy, write on, destroy, restore; what was acknowledged is there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.support.commands import run
from tests.support.deployed import DEPLOY
from tests.support.live import until
from tests.support.served import HERE, Served, event
from tests.support.tools import said, tool

BACKUP = DEPLOY / "backup" / "receiver-backup.service"
RULES = "destinations: {{ops: 'console://'}}\nroutes: [{{name: all, notify: ops}}]\n"
KEPT = 14


def shell_of(name: str, folder: Path) -> str:
    """Return a command of the unit as its shell gets it, with the folders of a test."""
    line: str
    (line,) = re.findall(rf"^{name}=/bin/sh -ec '(.*)'$", BACKUP.read_text("utf-8"), re.M)
    program = f"env PYTHONPATH={HERE} {sys.executable} -m receiver"
    line = line.replace("/opt/receiver/bin/receiver", program)
    line = line.replace("/var/lib/receiver-backups", str(folder))
    assert "/var" not in line
    return line.replace("%%", "%").replace("$$", "$").replace("exec env", "env")


async def writes(served: Served, names: range) -> set[str]:
    """Post webhooks; return the ids of those that were acknowledged."""
    for number in names:
        await served.post(event("STARTED", f"x-{number}", f"e-{number}"))
        await served.post(event("FAILED", f"x-{number}", f"f-{number}"))
    return {f"{kind}-{number}" for kind in "ef" for number in names}


def as_described(folder: Path, copy: Path) -> str:
    """Return what deploy/README.md says to do between the stop and the start, for these folders."""
    text = (DEPLOY / "README.md").read_text("utf-8").split("## Backup and restore")[1]
    (block,) = (b for b in re.findall(r"```sh\n(.*?)```", text, re.S) if "old-$(date +%s)" in b)
    _, *steps, _ = block.strip().splitlines()
    words = "\n".join(steps).replace("/var/lib/private/receiver", str(folder))
    assert words.count("../receiver-backups/") == 1
    return re.sub(r"\.\./receiver-backups/\S+", str(copy), words)


async def holds(served: Served, promised: set[str]) -> None:
    """The restored file is whole and in balance, and has what was acknowledged before the copy."""
    folder = served.path.parent
    doctor = run(folder, "doctor", RECEIVER_DATABASE_URL=f"sqlite:///{served.path}")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert b"imbalance 0." in doctor.stdout
    await served.start()
    stored = {row[0] for row in served.rows("SELECT event_id FROM event")}
    assert promised <= stored
    assert (await served.ledger())["imbalance"] == 0
    # What came later is taken when its sender repeats it, what came before is known.
    body = event("STARTED", "x-0", "e-0")
    assert (await served.post(body)).status == 200
    assert (await served.post(event("STARTED", "x-new", "e-new"))).status == 202


def test_what_was_acknowledged_before_the_copy_is_there_after_the_drill(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()

    async def drill() -> None:
        async with Served(tmp_path, (), RULES, HERE) as served:
            promised = await writes(served, range(20))
            environ = {**os.environ, "RECEIVER_DATABASE_URL": f"sqlite:///{served.path}"}
            writing = asyncio.create_task(writes(served, range(20, 60)))
            copying = await asyncio.create_subprocess_exec(
                "/bin/sh", "-ec", shell_of("ExecStart", backups), env=environ,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            words, _ = await copying.communicate()
            assert copying.returncode == 0, words
            await writing
            served.kill()
            await served.ended(10)
            served.path.write_bytes(b"damaged" * 1000)
            (copy,) = backups.iterdir()
            assert re.fullmatch(r"\d{8}T\d{6}Z\.db", copy.name)
            done = said(["/bin/sh", "-ec", as_described(served.path.parent, copy)])
            assert done == (0, "")
            assert served.path.stat().st_mode & 0o777 == 0o600
            await holds(served, promised)

    asyncio.run(drill())


def test_the_last_copies_stay_and_older_ones_go(tmp_path: Path) -> None:
    names = [f"202601{day:02}T000000Z.db" for day in range(1, KEPT + 8)]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "note.txt").touch()
    assert said(["/bin/sh", "-ec", shell_of("ExecStartPost", tmp_path)]) == (0, "")
    assert sorted(each.name for each in tmp_path.iterdir()) == [*names[-KEPT:], "note.txt"]


@contextmanager
def replicating(config: Path) -> Iterator[None]:
    """Run Litestream beside the server, until the context ends: then without a last word."""
    with (config.parent / "litestream.log").open("wb") as log:
        process = subprocess.Popen(
            [tool("litestream"), "replicate", "-config", config], stdout=log, stderr=log
        )
    try:
        until((config.parent / "litestream.sock").exists)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def test_litestream_follows_the_server_and_its_copy_is_one_to_start_on(tmp_path: Path) -> None:
    litestream = tool("litestream")
    shipped = yaml.safe_load((DEPLOY / "backup" / "litestream.yml").read_text("utf-8"))
    (database,) = shipped["dbs"]
    assert database["path"] == "/var/lib/receiver/receiver.db"
    assert database["replica"]["type"] == "s3"
    config = tmp_path / "litestream.yml"
    replica = {**database["replica"], "type": "file", "path": str(tmp_path / "replica")}
    del replica["bucket"]
    config.write_text(yaml.safe_dump({
        **shipped, "dbs": [{"path": str(tmp_path / "receiver.db"), "replica": replica}],
        "socket": {"enabled": True, "path": str(tmp_path / "litestream.sock")},
    }), "utf-8")  # fmt: skip
    socket = ["-socket", str(tmp_path / "litestream.sock")]

    async def drill() -> None:
        async with Served(tmp_path, (), RULES, HERE) as served:
            with replicating(config):
                promised = await writes(served, range(40))
                code, words = said([litestream, "sync", *socket, "-wait", served.path])
                assert code == 0, words
                await writes(served, range(40, 50))
                served.kill()
                await served.ended(10)
            for file in tmp_path.glob("receiver.db*"):
                file.unlink()
            shutil.rmtree(tmp_path / ".receiver.db-litestream", ignore_errors=True)
            code, words = said([litestream, "restore", "-config", config, served.path])
            assert code == 0, words
            await holds(served, promised)

    asyncio.run(drill())
