"""The power goes: what was written and not synced is lost, all of it, none, or any part.

From strace's record of a run the files are built anew as they may stand on the disk at any moment:
what a sync had taken, and of the later writes none, all, or some, some of them torn. That is
harsher than killing the process, which leaves the system's memory of the files whole.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.prove_durability.driver import Receiver, Warm
from tests.prove_durability.file import look, look_at
from tests.prove_durability.order import EVENT_ID, Call, calls, strace_all
from tests.prove_durability.sender import Acknowledgements, Sender
from tests.support.proving import Report

SECTOR = 512
_NUMBERS = re.compile(r", (\d+)(?:, (\d+))?\) += ")


@dataclass
class Stored:
    """A file: what the disk surely has, and the writes since, in their order (ended, at, data).

    A write without data cuts the file off there.
    """

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)

    def sync(self, began: int) -> None:
        """What had ended when the sync began is on the disk."""
        for _, at, data in [each for each in self.pending if each[0] < began]:
            _write(self.durable, at, data)
        self.pending = [each for each in self.pending if each[0] >= began]

    def after(self, chance: random.Random, keep: float) -> bytes:
        """The file as it may be found; each later write is kept with this probability."""
        found = bytearray(self.durable)
        for _, at, data in self.pending:
            if chance.random() >= keep:
                continue
            if data is not None and 0 < keep < 1 and chance.random() < 0.2:
                data = data[: chance.randrange(0, len(data) + 1, SECTOR)]
            _write(found, at, data)
        return bytes(found)


def _write(file: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del file[at:]
        file.extend(bytes(at - len(file)))
        return
    file.extend(bytes(max(at + len(data) - len(file), 0)))
    file[at : at + len(data)] = data


class Disk:
    """A folder as a record says that it changed: names are sure once the folder was synced."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names: dict[str, Stored] = {}
        self._sure: dict[str, Stored] = {}
        self.acknowledged: dict[str, str] = {}

    def take(self, call: Call) -> bool:
        """One more call; whether it changed something."""
        if call.result < 0:
            return False
        if call.name in ("rename", "unlink", "openat"):
            return self._named(call)
        if call.name in ("fsync", "fdatasync"):
            if call.file == self._folder:
                self._sure = dict(self._names)
            elif (file := self._names.get(call.file)) is not None:
                file.sync(call.began)
            return True
        if (file := self._names.get(call.file)) is None or call.file.endswith("-shm"):
            return False
        numbers = _NUMBERS.search(call.text)
        assert numbers is not None, call.text
        if call.name == "pwrite64":
            assert int(numbers[1]) == len(call.data) == call.result, call.text
            file.pending.append((call.ended, int(numbers[2]), call.data))
        elif call.name == "ftruncate":
            file.pending.append((call.ended, int(numbers[1]), None))
        return True

    def _named(self, call: Call) -> bool:
        names = [name.decode() for name in call.texts]
        names = [name for name in names if name.startswith(f"{self._folder}/")]
        if call.name == "openat":
            if "O_CREAT" not in call.text or not names or names[0] in self._names:
                return False
            self._names[names[0]] = Stored()
            return True
        file = self._names.pop(names[0], None) if names else None
        if file is not None and call.name == "rename":
            self._names[names[1]] = file
        return file is not None

    def lose_power(self, place: Path, chance: random.Random) -> None:
        """Make the folder as it may be found afterwards."""
        keep = chance.choice((0.0, 0.5, 0.9, 1.0))
        names = self._names if keep == 1.0 or chance.random() < 0.5 else self._sure
        for name, file in names.items():
            if not name.endswith(("-shm", ".lock")):
                (place / Path(name).name).write_bytes(file.after(chance, keep))


async def losses(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Record a run from the making of the file to its end, then lose power at many moments."""
    record, warm = folder / "strace.out", Warm(given.tree)
    try:
        receiver = Receiver(folder, given.tree, warm=warm, http=given.http)
        receiver.strace, receiver.checkpoint_at = strace_all(record), 65_536
        acks = Acknowledgements(folder / "acknowledged")
        async with receiver:
            sender = Sender(receiver, acks, report)
            receiver.launch()
            report.must(await receiver.serves(), "it starts")
            for connections in (1, 8, 24):
                await sender.load(connections, given.events // 3)
            receiver.signal(signal.SIGTERM)
            await receiver.ended()
    finally:
        warm.close()
    look(receiver, acks.verdicts, report, "in the end")
    whole = Disk(folder)
    changes = sum(whole.take(call) for call in _read(record))
    chance = random.Random(given.seed)
    moments = {chance.randrange(changes) for _ in range(given.losses)}
    disk, number = Disk(folder), 0
    for call in _read(record):
        if b'"verdict"' in call.data:
            _answered(call, disk, acks.verdicts)
        number += disk.take(call)
        if number in moments:
            moments.remove(number)
            place = folder / "lost"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            disk.lose_power(place, chance)
            report.add("losses of power")
            where = f"power lost after change {number} of {changes}"
            look_at(place / "receiver.db", disk.acknowledged, report, where)
            if report.broken:
                break
    report.figures |= {"changes of files": changes, "acknowledged": len(acks.verdicts)}
    acks.close()


def _read(record: Path) -> Iterator[Call]:
    with record.open(encoding="utf-8") as lines:
        yield from calls(lines)


def _answered(call: Call, disk: Disk, verdicts: dict[str, str]) -> None:
    for found in EVENT_ID.findall(call.data.partition(b'"event_id": "')[2][:40]):
        event = found.decode()
        if event in verdicts and call.result > 0:
            disk.acknowledged.setdefault(event, verdicts[event])
