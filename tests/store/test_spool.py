"""The spool's file: what it keeps is there after any end, in order, once, and within its bounds."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from receiver.errors import StorageRefused, StorageServed, StorageUnavailable
from receiver.store.opening import SpoolFile
from receiver.store.spooling import Spool, SpooledWebhook
from tests.prove_durability.order import Order, calls, strace_all

MOST = 65_536


def webhook(number: int, size: int = 10) -> SpooledWebhook:
    return SpooledWebhook("s", "plain", "1", None, number, (b"%d" % number).ljust(size, b"\xff"))


def keep(spool: Spool, webhooks: Sequence[SpooledWebhook]) -> list[bool]:
    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*map(spool.keep, webhooks))

    return asyncio.run(all_at_once())


def remove(spool: Spool, numbers: Sequence[int]) -> None:
    asyncio.run(spool.remove(numbers))


def times(spool: Spool, n: int = 1000) -> list[int]:
    return [kept.received_at for _, kept in spool.first(n)]


@pytest.fixture
def file(tmp_path: Path) -> SpoolFile:
    return SpoolFile(str(tmp_path / "spool.db"), MOST)


def test_what_is_kept_is_there_after_a_restart_whole_and_in_its_order(file: SpoolFile) -> None:
    assert not file.is_there()
    kept = [
        SpooledWebhook("s", "plain", "2025", "msg-1", 1, b'{"a": "\xc3\xa4\\u0000"}'),
        SpooledWebhook("t", "asteroid", "1", None, 2**62, b"\x00\xff", "it is no JSON"),
    ]
    with closing(file.open()) as spool:
        assert keep(spool, kept) == [True, True]
    with closing(file.open()) as spool:
        assert [each for _, each in spool.first(5)] == kept
        assert spool.state().waiting == 2
        assert spool.state().oldest == 1


def test_it_takes_no_more_than_its_bound_and_more_again_once_it_was_emptied(
    file: SpoolFile,
) -> None:
    with closing(file.open()) as spool:
        answers = keep(spool, [webhook(n, 20_000) for n in range(5)])
        assert answers == [True, True, True, False, False]
        assert keep(spool, [webhook(9)]) == [True]  # a small one fits
        assert spool.state().size <= MOST
    with closing(file.open()) as spool:  # the bound counts what is there already
        assert keep(spool, [webhook(6, 20_000)]) == [False]
        remove(spool, [number for number, _ in spool.first(2)])
        assert times(spool) == [2, 9]
        assert keep(spool, [webhook(7, 20_000)]) == [True]
        remove(spool, [number for number, _ in spool.first(9)])
        assert (spool.state().waiting, spool.state().size) == (0, 0)


def test_a_number_is_never_given_twice_and_nobody_removes_what_came_later(
    file: SpoolFile,
) -> None:
    with closing(file.open()) as spool:
        keep(spool, [webhook(1), webhook(2)])
        old = [number for number, _ in spool.first(2)]
        remove(spool, old)
        keep(spool, [webhook(3)])
        remove(spool, old)
        assert times(spool) == [3]


def test_large_webhooks_come_a_few_at_a_time_and_some_can_be_left_out(tmp_path: Path) -> None:
    with closing(SpoolFile(str(tmp_path / "s.db"), 2**26).open()) as spool:
        keep(spool, [webhook(n, 2**21) for n in range(4)])
        assert times(spool) == [0, 1]
        first = spool.first(1)[0][0]
        assert [each.received_at for _, each in spool.first(9, without=[first])] == [1, 2]


def test_one_process_has_it_and_others_can_see_that(file: SpoolFile) -> None:
    assert file.look() is None
    spool = file.open()
    with pytest.raises(StorageServed, match="RECEIVER_SPOOL_FILE"):
        file.open()
    spool.close()
    with closing(file.open()):
        pass


@pytest.mark.parametrize("damage", ["zeros", "foreign", "newer", "empty", "moved"])
def test_a_file_that_it_cannot_trust_is_refused_with_what_to_do_and_stays(
    file: SpoolFile, damage: str
) -> None:
    path = Path(file.path)
    with closing(file.open()) as spool:
        keep(spool, [webhook(1, 30_000)])
    if damage == "zeros":
        path.write_bytes(path.read_bytes()[:100] + bytes(30_000))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "moved":  # its log is there, and itself is gone
        path.with_name("spool.db-wal").write_bytes(b"frames")
        path.unlink()
    else:
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA {'application_id' if damage == 'foreign' else 'user_version'} = 77")
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(StorageRefused, match=r"start again|of its own|Put the file back"):
        file.open()
    assert (path.read_bytes() if path.exists() else None) == before


# Acknowledges each webhook as the server does: once the file says that it is kept.
_KEEPS = """
import asyncio, os, sys
from receiver.store.opening import SpoolFile
from receiver.store.spooling import SpooledWebhook

async def keep(spool, number):
    event = f"x{number}.1".encode()
    assert await spool.keep(SpooledWebhook("s", "plain", "1", None, number, event))
    os.write(1, b'HTTP/1.1 202 OK\\r\\n\\r\\n{"verdict": "spooled", "event_id": "%s"}' % event)

async def all_of_them():
    spool = SpoolFile(sys.argv[1], 2**24).open()
    for begin in range(0, 40, 8):
        await asyncio.gather(*(keep(spool, begin + n) for n in range(8)))

asyncio.run(all_of_them())
"""


def test_an_answer_begins_after_the_sync_of_its_webhook_has_ended(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    record, path = tmp_path / "strace.out", tmp_path / "spool.db"
    with (tmp_path / "answers").open("wb") as answers:
        command = [*strace_all(record), sys.executable, "-c", _KEEPS, str(path)]
        subprocess.run(command, stdout=answers, check=True, timeout=120)
    seen = Order(f"{path}-wal")
    with record.open(encoding="utf-8") as lines:
        for call in calls(lines):
            seen.take(call)
    assert seen.wrong == []
    assert len(seen.answers) == 40
    assert seen.named_at > 0


def test_a_place_that_cannot_be_written_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(StorageRefused, match=r"nowhere.*folder"):
        SpoolFile(str(tmp_path / "nowhere" / "spool.db"), MOST).open()


def test_a_file_that_is_taken_away_takes_no_webhook_and_says_so(file: SpoolFile) -> None:
    path = Path(file.path)
    spool = file.open()
    assert keep(spool, [webhook(1)]) == [True]
    path.rename(path.with_name("elsewhere.db"))

    async def until_refused() -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            await spool.keep(webhook(1, 20))

    with pytest.raises(StorageUnavailable, match="moved"):
        asyncio.run(until_refused())
    with pytest.raises(StorageUnavailable, match="moved"):
        spool.state()
    spool.close()
