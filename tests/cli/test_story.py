"""Why nobody was told: each reason is answered by one command, in words and in 80 columns."""

from __future__ import annotations

import html
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.cli.output import columns_of
from receiver.times import SECOND
from tests.support.commands import TOP, run
from tests.support.live import PUBLIC, Live, live, until
from tests.support.visited import Visit

ROUTES = """\
sources:
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}
destinations:
  ops: console://
  archive: console://
  night: {url: console://, quiet: {from: "QUIET", to: "LOUD", tz: UTC}}
routes:
  - {name: flaky, match: {status: failed, agent: "Flaky *"}, notify: archive, stop: true}
  - {name: payroll, match: {status: failed, agent: "Payroll *"}, notify: ops}
  - {name: at night, match: {status: failed, agent: "Night *"}, notify: night}
  - {name: deploys, match: {status: failed, agent: "Deploy *"}, notify: ops}
  - {name: twice, match: {status: failed, agent: "Payroll run"}, notify: [ops, archive]}
  - {name: asks, match: {status: awaiting_confirmation}, notify: night}
"""


def fails(receiver: Live, execution: str, agent: str, event: str = "EXECUTION_FAILED") -> None:
    receiver.post(
        client.asteroid_event(event, execution, agent_name=agent, event_id=f"e-{execution}")
    )


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a failure was told to nobody, or not to all, for six reasons."""
    folder = tmp_path_factory.mktemp("story")
    start = client.now_whole() - 60 * SECOND
    hour = time.gmtime().tm_hour
    routes = ROUTES.replace("QUIET", f"{(hour - 1) % 24:02}:00")
    routes = routes.replace("LOUD", f"{(hour + 6) % 24:02}:00")
    with live(folder, routes) as receiver:
        silence = {"match": {"agent": "Deploy *"}, "for": "2h", "reason": "a deploy", "by": "Ann"}
        receiver.ask("/api/silences", method="POST", body=json.dumps(silence).encode())
        fails(receiver, "no-route", "Invoice agent")
        for number, name in enumerate(("EXECUTION_COMPLETED", "EXECUTION_FAILED")):
            receiver.post(client.asteroid_event(
                name, "ended", agent_name="Payroll run", occurred_at=start + number * SECOND
            ))  # fmt: skip
        fails(receiver, "quiet", "Night shift")
        fails(receiver, "silenced", "Deploy bot")
        fails(receiver, "stopped", "Flaky Payroll")
        fails(receiver, "twice", "Payroll run")

        def are_kept_back(n: int) -> bool:
            standing = receiver.store.standings(time.time_ns()).get("night")
            return standing is not None and standing.quiet == n

        for number, name in enumerate(("EXECUTION_AWAITING_CONFIRMATION", "EXECUTION_RESUMED")):
            receiver.post(client.asteroid_event(
                name, "moved", agent_name="Night shift", occurred_at=start + number * SECOND
            ))  # fmt: skip
            until(partial(are_kept_back, 2 - number))

        def settled() -> bool:
            items = receiver.ask("/api/deliveries?state=waiting")[1]["items"]
            return len(items) == 1 and items[0]["waits_for"] == "quiet hours"

        until(settled)
        for name, address in (("routes", "/routes"), ("now", "/"), ("executions", "/executions")):
            (folder / f"{name}.html").write_text(Visit(receiver).get(address).text, "utf-8")
        for execution in PAGES:
            shown = Visit(receiver).get(f"/executions/asteroid/{execution}").text
            (folder / f"{execution}.html").write_text(shown, "utf-8")
    return folder


# What the page of an execution says, without its marks.
PAGES = {
    "no-route": ["Nobody was told. No route applies",
                 "flaky : agent is agent-1 / Invoice agent, not Flaky *",
                 "asks : status is failed, not waiting for confirmation"],
    "ended": ["EXECUTION_FAILED rejected, does not count The execution has ended, and that never",
              "Nobody was told. This update was rejected, because the execution has ended, and"
              " that never changes. No route asks for rejected updates ( verdict: rejected )."],
    "quiet": ["Nobody was told yet. night , by route at night : waits quiet hours until"],
    "silenced": ["Nobody was told yet : ops gets it in a list at", "(printed only)",
                 "ops , by route deploys : not sent silenced by Ann until", "( silence 1 )"],
    "stopped": ["Nobody was told but who reads the server's console."
                " archive , by route flaky : printed",
                "Not asked, because route 'flaky' above ends the"
                " list ( stop ): payroll, at night, deploys, twice, asks ."],
    "twice": ["ops , by route payroll : printed",
              "ops , by route twice : not sent route 'payroll' above it tells ops",
              "archive , by route twice : printed"],
    "moved": ["Nobody was told. night , by route asks : not sent it was no longer waiting for"
              " confirmation: by then it was running; quiet hours had kept this back Why the"],
}  # fmt: skip


@pytest.mark.parametrize("execution", PAGES)
def test_its_page_says_why_nobody_was_told(walked: Path, execution: str) -> None:
    text = (walked / f"{execution}.html").read_text("utf-8")
    words = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text.replace("<wbr>", ""))).split())
    for said in PAGES[execution]:
        assert said in words, words
    assert not re.search(r"\d{4}-\d\d-\d\dT", re.sub(r"<[^>]*>", " ", text))
    assert words.index("Who was told") < words.index("The path it took")
    # The order of the file: “above” relies on it.
    reasons = re.findall(r"<li><em>([^<]*)</em>: ", text)
    in_file = re.findall(r"name: ([a-z ]+),", ROUTES)
    places = [in_file.index(names.split(", ")[0]) for names in reasons]
    assert places == sorted(places)


def test_reasons_that_quiet_hours_gave_lead_to_these_hours(walked: Path) -> None:
    for execution in ("quiet", "moved"):
        text = (walked / f"{execution}.html").read_text("utf-8")
        assert '<a href="/routes#destination-night">quiet hours</a>' in text
    routes = (walked / "routes.html").read_text("utf-8")
    assert re.search(
        r'id="destination-night".*quiet hours: \d\d:00 to \d\d:00 UTC, every day', routes
    )


def test_what_failed_and_nobody_was_told_of_is_marked(walked: Path) -> None:
    now, listed = ((walked / f"{page}.html").read_text("utf-8") for page in ("now", "executions"))
    failed = now[now.index("Failed in the last 24 hours") :]
    for text in (failed, listed):
        for name, mark in (("no-route", "nobody told"), ("silenced", "nobody told"),
                           ("twice", "printed only")):  # fmt: skip
            (row,) = re.findall(rf"<li><a href=./executions/asteroid/{name}.*", text)
            assert f'<mark class="badge over">{mark}</mark>' in row
            assert row.count("badge over") == 1
    # What merely runs is none of it.
    assert "nobody told" not in re.findall(r"<li><a href=./executions/asteroid/moved.*", listed)[0]


def test_a_list_is_said_of_every_execution_that_it_names(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES.replace("QUIET", "22:00").replace("LOUD", "07:00")) as receiver:
        silence = {"match": {"agent": "Deploy *"}, "for": "2h", "reason": "a deploy", "by": "Ann"}
        receiver.ask("/api/silences", method="POST", body=json.dumps(silence).encode())
        for execution in ("sil-1", "sil-2"):
            fails(receiver, execution, "Deploy bot")
        until(lambda: (receiver.store.silence(1) or {})["silenced"] == 2)
        receiver.ask("/api/silences/1", method="DELETE")
        until(lambda: receiver.ask("/api/deliveries?kind=digest&state=sent")[1]["items"])
        texts = [Visit(receiver).get(path).text for path in (
            "/executions/asteroid/sil-1", "/executions/asteroid/sil-2", "/events/1", "/events/2"
        )]  # fmt: skip
        listed, now = (Visit(receiver).get(path).text for path in ("/executions", "/"))
    for text in texts:
        assert "<strong>ops</strong> got it in a list at <time" in text
        assert "<strong>Nobody was told</strong> but who reads the server's console." in text
    for text in (listed, now):
        assert ("printed only" in text, "nobody told" in text) == (True, False)
    for execution in ("sil-1", "sil-2"):
        told = shown(tmp_path, "executions", "show", execution)
        assert "ops got it in a list" in told
        assert "(printed only)" in told
        assert "nobody was told" not in told


def test_only_what_waits_for_a_person_is_taken(walked: Path) -> None:
    assert "I take it" not in (walked / "moved.html").read_text("utf-8")  # it runs


def shown(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command; its output, which fits 80 columns."""
    done = run(folder, *command, PUBLIC=PUBLIC, TZ="UTC")
    assert done.returncode == code, done.stderr.decode()
    text = (done.stdout if code == 0 else done.stderr).decode()
    assert "--json" in command or all(columns_of(line) <= 80 for line in text.splitlines())
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("execution", "why"),
    [
        ("no-route", ["nobody was told - not by flaky: agent is agent-1 / Invoice agent, not Fl",
                      "not by payroll: agent is agent-1 / Invoice agent, not Payroll *",
                      "not by asks: status is failed, not awaiting_confirmation",
                      "There are no messages about it."]),
        ("ended", ["EXECUTION_FAILED: rejected (terminal)",
                   "not by flaky, payroll, at night, deploys, twice, asks:"
                   " verdict is rejected, not applied"]),
        ("quiet", ["nobody was told yet - at night, to night: waits (quiet hours until"]),
        ("silenced", ["nobody was told - deploys, to ops: not sent: silenced by Ann until",
                      "a deploy"]),
        ("stopped", ["- flaky, to archive: sent",
                     "- not by payroll, at night, deploys, twice, asks:"
                     " route 'flaky' above it stops"]),
        ("twice", ["- payroll, to ops: sent", "- twice, to ops: route 'payroll' above it tells ops",
                   "- twice, to archive: sent"]),
        ("moved", ["nobody was told - asks, to night: not sent: no longer awaiting_confirmation:"
                   " now running"]),
    ],
)  # fmt: skip
def test_one_command_says_why_nobody_was_told(walked: Path, execution: str, why: list[str]) -> None:
    told = shown(walked, "executions", "show", execution)
    for words in why:
        assert words in told


def test_what_was_only_printed_is_called_so_wherever_it_is_listed(walked: Path) -> None:
    for command in (("deliveries", "--state", "sent"), ("executions", "show", "twice")):
        assert "printed only: nobody but who reads the server's console has it" in shown(
            walked, *command
        )
    assert "printed only" not in shown(walked, "deliveries", "--state", "waiting")
    told = run(walked, "doctor", PUBLIC=PUBLIC)
    assert b"destination ops prints only: its messages reach nobody else.\n" in told.stdout
    document = json.loads(shown(walked, "doctor", "--json"))
    assert document["prints_only"] == ["ops", "archive", "night"]


def test_the_same_of_one_event_and_as_json(walked: Path) -> None:
    told = shown(walked, "explain", "--event-id", "e-twice")
    assert "- twice, to ops: route 'payroll' above it tells ops" in told
    assert "- not by asks: status is failed, not awaiting_confirmation" in told
    document = json.loads(shown(walked, "explain", "--event-id", "e-silenced", "--json"))
    routes = {route["name"]: route for route in document["event"]["routes"]}
    assert routes["deploys"]["destinations"][0]["state"] == "superseded"
    assert json.loads(document["body"])["event_id"] == "e-silenced"
    story = json.loads(shown(walked, "executions", "show", "asteroid/stopped", "--json"))
    assert story["events"][0]["routes"][1]["why_not"] == "route 'flaky' above it stops"


def test_an_execution_is_named_in_every_way_that_a_table_shows(walked: Path) -> None:
    for words in (("no-route",), ("asteroid/no-route",), ("no-route", "--source", "asteroid"),
                  ("no…ute",)):  # fmt: skip
        assert "asteroid/no-route" in shown(walked, "executions", "show", *words)
    assert "did you mean 'no-route'?" in shown(walked, "executions", "show", "no-rout", code=1)
    assert "did you mean 'asteroid'?" in shown(
        walked, "executions", "show", "quiet", "--source", "asteriod", code=1
    )
    assert "No event 'e-none' is stored" in shown(walked, "explain", "--event-id", "e-none", code=1)


def test_without_readable_rules_the_rest_is_told(walked: Path) -> None:
    done = run(walked, "executions", "show", "silenced")  # PUBLIC is not set
    assert done.returncode == 0
    assert b"Which routes match is not known without the rules: " in done.stderr
    told = " ".join(done.stdout.decode().split())
    assert "nobody was told" in told
    assert "not sent: silenced by Ann" in told
    document = json.loads(run(walked, "executions", "show", "silenced", "--json").stdout)
    assert document["events"][0]["routes"] is None


def test_lists_show_what_waits_apart_from_what_is_done(walked: Path) -> None:
    told = shown(walked, "deliveries")
    assert told.startswith("Waiting or being sent: id owed state kind destination route execution")
    assert "waiting notice night at night quiet quiet hours until" in told
    assert told.index("Done:") > told.index("quiet hours until")
    assert "superseded notice ops deploys silenced silenced by Ann" in told
    assert "No deliveries match." in shown(walked, "deliveries", "--planned")
    assert "rejected (terminal)" in shown(walked, "events", "--verdict", "rejected")
    assert shown(walked, "events", "--execution", "twice").count("EXECUTION_FAILED") == 1
    assert "Deploy bot" in shown(walked, "executions", "--agent", "Dep*b?t")
    assert "Deploy bot" not in shown(walked, "executions", "--agent", "!Dep*", "--status", "failed")
    items = json.loads(shown(walked, "deliveries", "--state", "waiting", "--json"))
    assert (items[0]["waits_for"], items[0]["until"][-1]) == ("quiet hours", "Z")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (
            ("executions", "--source", "asteriod"),
            1,
            "no source 'asteriod': did you mean 'asteroid'?",
        ),
        (("events", "--source", "asteriod"), 1, "did you mean 'asteroid'?"),
        (("events", "--execution", "twise"), 1, "no execution twise: did you mean 'twice'?"),
        (("events", "--event", "EXECUTION_FAIL"), 1, "did you mean 'EXECUTION_FAILED'?"),
        (("deliveries", "--destination", "opps"), 1, "no destination 'opps': did you mean 'ops'?"),
        (("deliveries", "--execution", "quite"), 1, "did you mean 'quiet'?"),
        (("redeliver", "--destination", "opps"), 1, "did you mean 'ops'?"),
        (("acknowledge", "asteriod", "quiet"), 1, "did you mean 'asteroid'?"),
        (("executions", "--status", "fialed"), 2, "did you mean 'failed'?"),
        (("executions", "--category", "terminl"), 2, "did you mean 'terminal'?"),
        (("events", "--verdict", "quarantine"), 2, "did you mean 'quarantined'?"),
        (("deliveries", "--state", "wating"), 2, "did you mean 'waiting'?"),
        (("deliveries", "--kind", "notise"), 2, "did you mean 'notice'?"),
        (("explain",), 2, "Give a file with a webhook body, --event-id, or --seq."),
        (("explain", "routes.yaml"), 2, "--source: say which source"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(
    walked: Path, command: tuple[str, ...], code: int, words: str
) -> None:
    done = run(walked, *command, PUBLIC=PUBLIC)
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in " ".join(done.stderr.decode().split())


def test_a_name_that_is_configured_is_known_though_nothing_is_stored(walked: Path) -> None:
    text = (walked / "routes.yaml").read_text("utf-8")
    (walked / "more.yaml").write_text(
        text.replace("  ops: console", "  new: console://\n  ops: console")
    )
    done = run(walked, "deliveries", "--destination", "new", PUBLIC=PUBLIC,
               RECEIVER_ROUTES="more.yaml")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"No deliveries match.\n")
    as_json = run(walked, "deliveries", "--destination", "opps", "--json", PUBLIC=PUBLIC)
    assert (as_json.returncode, json.loads(as_json.stdout)) == (0, [])
    assert b"did you mean 'ops'?" in as_json.stderr


@pytest.mark.parametrize("command", ["executions", "deliveries --json", "--help",
                                     "executions show twice", "events"])  # fmt: skip
def test_an_output_that_takes_nothing_is_one_line_and_no_traceback(
    walked: Path, command: str
) -> None:
    def piped(rest: str) -> subprocess.CompletedProcess[bytes]:
        text = f"set -o pipefail; '{sys.executable}' -m receiver {command} {rest}"
        environ = {**os.environ, "PYTHONPATH": str(TOP), "PUBLIC": PUBLIC}
        return subprocess.run(
            ["bash", "-c", text], cwd=walked, env=environ, capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip

    full = piped("> /dev/full")
    assert full.returncode == 1
    assert full.stderr == b"The output cannot be written: No space left on device.\n"
    assert piped("| head -n 0").stderr == b""
    assert piped(">/dev/full 2>/dev/full").returncode == 1


def test_a_terminal_that_lacks_a_character_shows_another(walked: Path) -> None:
    for encoding in ("latin-1", "ascii", "cp1252"):
        done = run(walked, "explain", "--event-id", "e-twice", PUBLIC=PUBLIC,
                   PYTHONIOENCODING=encoding)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
    done = run(walked, "executions", "--agent", "→", PUBLIC=PUBLIC, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stdout) == (0, b"No executions match.\n")
    done = run(walked, "executions", "--source", "→", PUBLIC=PUBLIC, PYTHONIOENCODING="latin-1")
    assert (done.returncode, b"no source '?'" in done.stderr) == (1, True)


def test_a_locked_file_is_told_in_words_for_people(walked: Path) -> None:
    with closing(sqlite3.connect(walked / "receiver.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        done = run(walked, "silence", "expire", "1", PUBLIC=PUBLIC)
        other.execute("ROLLBACK")
    assert done.returncode == 1
    assert done.stderr.startswith(b"The database is locked: another program writes to it for long.")
    assert b"send it again" not in done.stderr


def test_a_webhook_that_cannot_be_read_says_why_and_can_be_explained(tmp_path: Path) -> None:
    routes = ROUTES.replace("QUIET", "22:00").replace("LOUD", "07:00")
    routes += "  - {name: odd, match: {verdict: quarantined}, notify: archive}\n"
    with live(tmp_path, routes) as receiver:
        assert receiver.post(client.asteroid_event("EXECUTION_FAILED", "x" * 300))[0] == 422
        assert receiver.post(b"[]")[0] == 200
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        (told,) = [
            each["body"]
            for each in receiver.ask("/api/deliveries")[1]["items"]
            if "cannot be read" in (each["title"] or "")
        ]
    problem = "info.execution_id must have 1 to 200 characters."
    assert told.startswith(problem)
    listed = run(tmp_path, "events", "--verdict", "quarantined", PUBLIC=PUBLIC).stdout.decode()
    assert listed.count(problem) == 1
    shown = run(tmp_path, "explain", "--seq", "1", PUBLIC=PUBLIC)
    assert shown.returncode == 0
    assert f"problem: {problem}" in shown.stdout.decode()
    none = run(tmp_path, "explain", "--seq", "9", PUBLIC=PUBLIC)
    assert (none.returncode, b"see `receiver events`" in none.stderr) == (1, True)
    both = run(tmp_path, "explain", "--seq", "1", "--event-id", "e", PUBLIC=PUBLIC)
    assert both.returncode == 2
