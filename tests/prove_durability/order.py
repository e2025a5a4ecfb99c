"""The order of system calls: WAL write, its sync, then the answer; read from strace's record.

A transaction is the frames that are written into the log up to one whose header names the size of
the database after the commit. An event is durable once a sync of the log that began after its
transaction's last frame has ended well. Only then may its answer begin.
"""

from __future__ import annotations

import argparse
import re
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.prove_durability.driver import Receiver
from tests.prove_durability.file import look
from tests.prove_durability.sender import Acknowledgements, Sender
from tests.support.proving import Report

TRACED = ("openat,rename,pwrite64,fdatasync,fsync,sendto,sendmsg,write,writev,"
          "ftruncate,unlink")  # fmt: skip
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_UNFINISHED = " <unfinished ...>"
_RESULT = re.compile(r"\) += (-?\d+|\?)")
_FILE = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*|[^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
FRAME_HEADER, EVENT_ID = 24, re.compile(rb"x\d+\.\d(?!\d)")


class Call(NamedTuple):
    """A system call: when it began and ended (lines of the record), on what, with what."""

    name: str
    began: int
    ended: int
    file: str
    data: bytes
    result: int
    text: str

    @property
    def texts(self) -> list[bytes]:
        """What it was given, such as names."""
        return [_bytes(each) for each in _TEXT.findall(self.text)]


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The finished calls of a record of `strace -f -yy -xx`, in the order of their ends."""
    begun: dict[str, tuple[int, str, str]] = {}
    for number, line in enumerate(lines):
        if resumed := _RESUMED.match(line):
            process, name, rest = resumed.groups()
            began, first, arguments = begun.pop(process)
            assert first == name, line
            yield _call(name, began, number, arguments + rest)
        elif call := _CALL.match(line):
            process, name, rest = call.groups()
            if rest.rstrip().endswith(_UNFINISHED):
                begun[process] = (number, name, rest.rstrip().removesuffix(_UNFINISHED))
            else:
                yield _call(name, number, number, rest)


def _call(name: str, began: int, ended: int, text: str) -> Call:
    result = _RESULT.search(text[text.rfind(") ") :])
    file = _FILE.match(text)
    data = b"".join(_bytes(each) for each in _TEXT.findall(text))
    where = _bytes(file[2]).decode() if file and file[2].startswith("\\x") else ""
    where = where or (f"{file[1]}<{file[2]}>" if file else "")
    return Call(name, began, ended, where, data, int(result[1]) if result and result[1] != "?"
                else -1, text)  # fmt: skip


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class Order:
    """What has happened so far, and what was wrong with it."""

    log: str
    open: set[str] = field(default_factory=set)  # events in frames of a transaction not yet ended
    committed: dict[str, int] = field(default_factory=dict)  # event: where its last frame ended
    durable: dict[str, int] = field(default_factory=dict)  # event: where its sync ended
    answers: dict[str, int] = field(default_factory=dict)  # event: where its answer began
    heads: dict[str, int] = field(default_factory=dict)  # connection: where its last 202 began
    last: bool = False  # the frame that comes is the last of its transaction
    syncs: int = 0
    named_at: int = -1  # the folder was synced after the log was created
    created: bool = False
    wrong: list[str] = field(default_factory=list)

    def take(self, call: Call) -> None:
        """One more call."""
        if call.name == "pwrite64" and call.file == self.log:
            self._written(call)
        elif call.name == "openat" and self.log.encode() in call.data and "O_CREAT" in call.text:
            # Every connection opens it so; only the first one, before any answer, makes it.
            self.created = True
        elif call.name in ("fsync", "fdatasync") and call.result == 0:
            self._synced(call)
        elif call.name in ("sendto", "sendmsg", "write", "writev") and call.result > 0:
            self._sent(call)

    def _written(self, call: Call) -> None:
        if len(call.data) == FRAME_HEADER:
            self.last = call.data[4:8] != b"\0\0\0\0"
            return
        self.open |= {each.decode() for each in EVENT_ID.findall(call.data)}
        if self.last:
            for event in self.open - set(self.committed):
                self.committed[event] = call.ended
            self.open, self.last = set(), False

    def _synced(self, call: Call) -> None:
        if call.file == self.log:
            self.syncs += 1
            for event, at in self.committed.items():
                if event not in self.durable and at < call.began:
                    self.durable[event] = call.ended
        elif self.created and call.file == str(Path(self.log).parent):
            self.named_at = call.ended

    def _sent(self, call: Call) -> None:
        if call.data.startswith(b"HTTP/1.1 20"):
            self.heads[call.file] = call.began
        elif call.data.startswith(b"HTTP/1.1 "):
            self.heads.pop(call.file, None)
        if b'"verdict"' not in call.data or call.file not in self.heads:
            return
        for found in EVENT_ID.findall(call.data.partition(b'"event_id": "')[2][:40]):
            event, began = found.decode(), self.heads[call.file]
            self.answers.setdefault(event, began)
            if event not in self.committed:
                self.wrong.append(f"{event} is answered and its frames are not in the log")
            elif self.durable.get(event, began) >= began:
                self.wrong.append(f"{event} is answered before its sync has ended")
            elif self.named_at < 0:
                self.wrong.append(f"{event} is answered before the log's name was synced")


def strace_all(record: Path) -> list[str]:
    """The command that records all that is written, and when it is synced and answered."""
    return ["strace", "-f", "-yy", "-xx", "-s", "8192", "-e", f"trace={TRACED}",
            "-e", "signal=none", "-o", str(record)]  # fmt: skip


async def order(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Record a run under load, then read the record."""
    record = folder / "strace.out"
    receiver = Receiver(folder, given.tree, strace=strace_all(record), http=given.http)
    acks = Acknowledgements(folder / "acknowledged")
    sender = Sender(receiver, acks, report)
    async with receiver:
        await receiver.start()
        for connections in (1, 4, 16):
            await sender.load(connections, given.events // 3)
        receiver.signal(signal.SIGTERM)
        report.must(await receiver.ended() == 0, "it ends with exit code 0")
    look(receiver, acks.verdicts, report, "in the end")
    seen, kinds = Order(f"{receiver.path}-wal"), defaultdict[str, int](int)
    with record.open(encoding="utf-8") as lines:
        for call in calls(lines):
            kinds[call.name] += 1
            seen.take(call)
    unseen = set(acks.verdicts) - set(seen.answers)
    report.figures |= {
        "system calls read": sum(kinds.values()), "acknowledged": len(acks.verdicts),
        "answers in the record": len(seen.answers), "syncs of the log": seen.syncs,
        "answers before their sync": len(seen.wrong),
    }  # fmt: skip
    report.must(not unseen, f"every answer is in the record: {sorted(unseen)[:3]}")
    report.must(not seen.wrong, f"WAL write, sync, answer: {seen.wrong[:3]}")
    acks.close()
