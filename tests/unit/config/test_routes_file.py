"""routes.yaml: what is right is read, what is wrong is told with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.alarms import AlarmKind
from receiver.config.routes_file import load
from receiver.config.rules import Rules
from receiver.errors import ConfigurationError
from receiver.events import Status, Verdict
from receiver.routing.conditions import Subject
from receiver.routing.routes import Escalation, Group, Reminders, Stuck
from receiver.times import SECOND

TOP = Path(__file__).parents[3]
GOOD = """\
sources:
  asteroid:
    verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}
destinations:
  ops: console://
routes:
  - name: failures
    match: {status: failed}
    notify: [ops]
  - name: holes
    match: {verdict: rejected}
    notify: ops
"""


def read(folder: Path, text: str | bytes, **environ: str) -> Rules:
    path = folder / "routes.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(str(path), environ)


def problems(folder: Path, text: str | bytes, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text, **environ)
    return [line.removeprefix(f"{folder / 'routes.yaml'}:") for line in caught.value.problems]


def test_a_good_file_is_read(tmp_path: Path) -> None:
    rules = read(tmp_path, GOOD)
    assert list(rules.sources) == ["asteroid"]
    assert rules.destinations["ops"].line == 5
    assert [(route.name, route.line) for route in rules.routes] == [("failures", 7), ("holes", 10)]
    (warning,) = rules.warnings
    assert "nobody can be told when ops fails" in warning


def test_the_shipped_file_works_with_an_empty_environment_and_says_what_that_means() -> None:
    rules = load(str(TOP / "routes.yaml"), {})
    assert [re.sub(".*: warning: ", "", warning) for warning in rules.warnings] == [
        "source asteroid has no key: it answers 401 to everything: ASTEROID_PUBLIC_KEY is not set",
        "ops prints only: OPS_URL is not set",
        "approvers prints only: APPROVERS_URL is not set",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("notify: [ops]", "notify: [opz]", 9, "no destination 'opz': did you mean 'ops'?"),
        ("  ops: console://", "  ops: console://\n  ops: console://", 6, "a second time"),
        ("match: {status: failed}", "match:\n      status: !failed", 9, 'like "!failed"'),
        ("status: failed", "status: faild", 8, "no 'faild': did you mean 'failed'?"),
        ("status: failed", "verdict: maybe", 8, "verdict: there is no 'maybe'"),
        ("status: failed", "source: asteroids", 8, "did you mean 'asteroid'?"),
        ("match: {status", "mach: {status", 8, "unknown key 'mach': did you mean 'match'?"),
        ("status: failed", "colour: red", 8, "unknown key 'colour': known are"),
        ("name: failures", "nam: failures", 7, "unknown key 'nam': did you mean 'name'?"),
        ("name: holes", "name: failures", 10, "a route 'failures' above already"),
        ("name: failures", 'name: failures\n    title: "{{ agent_nam }}"', 8,
         "did you mean 'agent_name'?"),
        ("name: failures", 'name: failures\n    body: "{{ "', 8, "template cannot be read"),
        ("ops: console://", "ops: {url: console://, rate: fast}", 5, "a rate like 1/s"),
        ("ops: console://", "ops: {url: console://, retry_for: 90}", 5, "a duration like 90s"),
        ("ops: console://", "ops: {url: console://, timeout: 0s}", 5, "a duration like 90s"),
        ("ops: console://", "ops: {url: console://, parallel: 0}", 5, "greater than or equal to 1"),
        ("ops: console://", "ops: {url: console://, fallback: opz}", 5, "no destination 'opz'"),
        ("ops: console://", "ops: {url: console://, fallback: ops}", 5, "leads back to it"),
        ("{verdict: rejected}", "{verdict: rejected, dead_letter: true}", 11, "without verdict"),
        ("{verdict: rejected}", "{dead_letter: opz}", 11, "there is no 'opz'"),
        ("{verdict: rejected}", "{dead_letter: true}\n    title: x", 12, "writes its own"),
        ("{verdict: rejected}", "{verdict: rejected, alarm: true}", 11, "goes without verdict"),
        ("{verdict: rejected}", "{dead_letter: true, alarm: true}", 11, "goes without dead_letter"),
        ("{verdict: rejected}", "{agent: x, alarm: true}", 11, "an alarm is about no event"),
        ("{verdict: rejected}", "{metadata: {team: x}, alarm: true}", 11, "without metadata"),
        ("{verdict: rejected}", "{alarm: destinatoin}", 11, "did you mean 'destination'?"),
        ("{verdict: rejected}", "{alarm: [reload, wrong]}", 11, "alarm: there is no 'wrong'"),
        ("{verdict: rejected}", "{metadata: {}}", 11, "metadata: says nothing"),
        ("{verdict: rejected}", '{alarm: ["!*"]}', 11, "its words exclude each other"),
        ("{verdict: rejected}", "{alarm: [destination, reload], source: asteroid}", 11,
         "source: only these alarms are about one: source_quiet, signatures, quarantined"),
        ("{verdict: rejected}", "{alarm: true}\n    title: x", 12, "writes its own"),
        ("{verdict: rejected}", "{alarm: true}\n    resolved: true", 12, "is about no status"),
        ("{verdict: rejected}", "{alarm: true}\n    group: {by: agent}", 12, "is about no status"),
        ("ops: console://", "ops: {url: console://, warn_after: 10}", 5, "a duration like 90s"),
        ("verify:", "quiet_after: never\n    verify:", 3, "a duration like 90s"),
        ("verify:", "quiet_after:\n    verify:", 3, "quiet_after: says nothing"),
        ("ops: console://", "ops: ${NOT_SET}", 5, "NOT_SET is not set"),
        ("ops: console://", "Ops: console://", 5, "'Ops': a name has 1 to 40"),
        ("ops: console://", "ops: &a console://", 5, "anchors and aliases"),
        ("scheme: token", "scheme: tokens", 3, "scheme: must be 'rsa-sha256'"),
        ("scheme: token", "scheme: rsa-sha256", 3, "the key is neither PEM nor base64"),
        ("header: X-T, ", "", 3, "token needs `header`"),
        ("verify:", "formt: plain\n    verify:", 3, "unknown key 'formt': did you mean 'format'?"),
        ("verify:", "observes: [runing]\n    verify:", 3, "did you mean 'running'?"),
        ("verify:", "observes: []\n    verify:", 3, "name the statuses whose events are sent"),
        ("verify:", "gaps: ignore\n    verify:", 3, "gaps: must be 'reject' or 'apply'"),
        ("verify:", "gap_timeout: 30\n    verify:", 3, "a duration like 90s"),
        ("sources:", "surces:", 1, "unknown key 'surces': did you mean 'sources'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_what_to_do(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(each.startswith(f"{line}: ") and says in each for each in found), found


def test_all_mistakes_of_a_kind_are_told_at_once(tmp_path: Path) -> None:
    assert (
        len(problems(tmp_path, GOOD.replace("ops]", "a]").replace("notify: ops", "notify: b"))) == 2
    )


@pytest.mark.parametrize(
    "text", ["", "- 1", "a: [", "a: {b: 1", "x: 1\n---\ny: 2", b"\xff\xfe\x00"]
)
def test_what_is_no_file_of_ours_is_told(tmp_path: Path, text: str | bytes) -> None:
    assert problems(tmp_path, text)


def test_a_missing_file_says_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="RECEIVER_ROUTES"):
        load(str(tmp_path / "none.yaml"), {})


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    bad = GOOD.replace("scheme: token", "scheme: rsa-sha256").replace("a-token-of", "canary-of")
    bad = bad.replace("console://", "{url: [canary-url]}")
    assert "canary" not in "".join(problems(tmp_path, bad))


def test_variables_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file-of-ours\n")
    text = GOOD.replace("console://", "json://${HOST:-localhost}/$${X}").replace(
        "a-token-of-sixteen-bytes", "'${TOKEN}'"
    )
    rules = read(tmp_path, text, TOKEN_FILE=str(tmp_path / "token"))
    assert rules.destinations["ops"].url == "json://localhost/${X}"
    assert rules.sources["asteroid"].verification.keys == (b"from-a-file-of-ours",)
    assert read(tmp_path, text, TOKEN="t" * 16, HOST="h").destinations["ops"].url == "json://h/${X}"
    assert "TOKEN_FILE" in problems(tmp_path, text, TOKEN_FILE="/nowhere")[0]


def test_words_that_other_loaders_turn_into_something_else_stay_words(tmp_path: Path) -> None:
    rules = read(tmp_path, GOOD.replace("{status: failed}", "{reason: [on, no, 22:30, 0x1F]}"))
    assert rules.routes[0].conditions[0].patterns == ("on", "no", "22:30", "0x1F")


def test_warnings_name_what_will_surprise(tmp_path: Path) -> None:
    text = (
        GOOD.replace("[a-token-of-sixteen-bytes]", "[short]")
        .replace("  ops: console://", "  ops: console://\n  idle: console://")
        .replace("verdict: rejected", "verdict: applied")
        .replace("match: {verdict: applied}", "match: {}")
    )
    warnings = " ".join(read(tmp_path, text).warnings)
    for says in ("fewer than 16 bytes", "no route names the destination idle", "rejected events"):
        assert says in warnings


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.binary(max_size=99) | st.text(max_size=99).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_file_is_rules_or_a_configuration_error(tmp_path: Path, raw: bytes) -> None:
    for content in (raw, GOOD.encode() + raw, GOOD.encode().replace(b"failed", raw)):
        try:
            read(tmp_path, content)
        except ConfigurationError:
            continue


PEOPLE = GOOD.replace(
    "    match: {status: failed}\n    notify: [ops]\n",
    "    match: {status: awaiting_confirmation}\n    notify: [ops]\n"
    "    remind: {every: 15m, at_most: 3}\n"
    "    escalate: [{after: 1h, notify: [ops]}]\n"
    "    group: {by: [agent, metadata.team], wait: 10s, every: 1m}\n"
    '    quiet: {days: [mon, sun], from: "22:00", to: "24:00", tz: Europe/Berlin}\n',
)
STUCK = GOOD.replace(
    "match: {status: failed}", "match: {agent: x}\n    stuck: {status: running, after: 2h}"
)


def test_what_people_are_told_later_is_read(tmp_path: Path) -> None:
    route = read(tmp_path, PEOPLE).routes[0]
    assert route.remind == Reminders(900 * SECOND, 3)
    assert route.escalate == (Escalation(3600 * SECOND, ("ops",)),)
    assert route.group == Group(("agent", "metadata.team"), 10 * SECOND, 60 * SECOND)
    assert str(route.quiet) == "22:00 to 24:00 Europe/Berlin, mon, sun"
    stuck = read(tmp_path, STUCK).routes[0].stuck
    assert stuck == Stuck((Status.RUNNING,), 7200 * SECOND)
    less = PEOPLE.replace("days: [mon, sun], ", "").replace(", wait: 10s, every: 1m", "")
    defaults = read(tmp_path, less)
    assert "every day" in str(defaults.routes[0].quiet)
    assert defaults.routes[0].group == Group(("agent", "metadata.team"), 30 * SECOND, 300 * SECOND)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("every: 15m", "evry: 15m", 10, "unknown key 'evry': did you mean 'every'?"),
        ("every: 15m", "every: 15", 10, "every: must be a duration like 90s, 15m, 2h or 1d"),
        ("every: 15m", "every: 9999d", 10, "every: must be a duration of at most 3650d"),
        ("at_most: 3", "at_most: 0", 10, "at_most: must be greater than or equal to 1"),
        ("every: 15m, ", "", 10, "'every' is missing"),
        ("[{after: 1h, notify: [ops]}]", "[{after: 1h, notify: opz}]", 11,
         "no destination 'opz': did you mean 'ops'?"),
        ("[{after: 1h, notify: [ops]}]", "[{after: 1h, to: ops}]", 11, "unknown key 'to'"),
        ("[{after: 1h, notify: [ops]}]", "[{after: soon, notify: ops}]", 11, "after: must be a"),
        ("[agent, metadata.team]", "[agnt]", 12, "by: there is no 'agnt': did you mean 'agent'?"),
        ("[agent, metadata.team]", "[]", 12, "by: must not be empty"),
        ("wait: 10s", "wiat: 10s", 12, "unknown key 'wiat': did you mean 'wait'?"),
        ("Europe/Berlin", "Europe/Brelin", 13, "there is no time zone 'Europe/Brelin'"),
        ("Europe/Berlin", "../../etc/passwd", 13, "there is no time zone"),
        ('"22:00"', '"9:30"', 13, 'from: must be a time of day like "22:30"'),
        ('to: "24:00"', 'to: "22:00"', 13, "from and to are the same time"),
        ('days: [mon, sun], from: "22:00"', 'from: "00:00"', 13, "this is always"),
        ("[mon, sun]", "[monday]", 13, "days: must be 'mon', 'tue'"),
        ("days:", "day:", 13, "unknown key 'day': did you mean 'days'?"),
        (', tz: Europe/Berlin', "", 13, "'tz' is missing"),
        ("status: awaiting_confirmation", "status: [failed, cancelled]", 10,
         "remind: this route is about statuses that end an execution"),
        ("status: awaiting_confirmation", "category: terminal", 11, "escalate: this route is"),
        ("status: awaiting_confirmation", "verdict: rejected", 10,
         "remind: only an applied event begins a stay in a status"),
        ("match: {status: awaiting_confirmation}", "match: {dead_letter: true}", 12,
         "group: a route with dead_letter is about no status"),
        ("    group", "    urgent: true\n    group", 12, "urgent: this route has quiet hours"),
        ("{every: 15m, at_most: 3}", "", 10, "remind: says nothing: fill it in, or leave it out"),
        ("{every: 15m, at_most: 3}", "15m", 10,
         "remind: must be keys with values, like {every: …, at_most: …}"),
        ("[{after: 1h, notify: [ops]}]", "[]", 11, "escalate: must not be empty"),
        ("[{after: 1h, notify: [ops]}]", "", 11, "escalate: says nothing"),
        ("[{after: 1h, notify: [ops]}]", "1h", 11,
         "escalate: must be keys with values, like {after: …, notify: …}"),
        ("    group", "    resolved: maybe\n    group", 12, "resolved: must be true or false"),
    ],
)  # fmt: skip
def test_a_mistake_in_what_comes_later_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in PEOPLE
    told = problems(tmp_path, PEOPLE.replace(old, new, 1))
    assert any(text.startswith(f"{line}: ") and says in text for text in told), told


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("status: running", "status: failed", 9, "status: nothing is stuck in 'failed'"),
        ("status: running", "status: runing", 9, "did you mean 'running'?"),
        ("status: running, ", "", 9, "'status' is missing"),
        ("status: running", "status: []", 9, "status: must not be empty"),
        ("{status: running, after: 2h}", "", 9, "stuck: says nothing"),
        ("agent: x", "verdict: applied", 8, "stuck goes without verdict"),
        ("agent: x", "status: paused", 8, "its status and that of stuck exclude each other"),
        ("    notify: [ops]", "    stop: true\n    notify: [ops]", 10, "stop: a route with stuck"),
        ("    notify: [ops]", "    escalate: {after: 1h, notify: ops}\n    notify: [ops]", 10,
         "escalate: with stuck, add a second route whose stuck.after is longer"),
        ("after: 2h", "after: 2h, evry: 1", 9, "unknown key 'evry'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_route_about_stuck_executions_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    told = problems(tmp_path, STUCK.replace(old, new, 1))
    assert any(text.startswith(f"{line}: ") and says in text for text in told), told


def test_what_can_be_asked_and_is_hardly_meant_is_a_warning(tmp_path: Path) -> None:
    text = (
        PEOPLE.replace("[{after: 1h, notify: [ops]}]", "[{after: 1h, notify: [ops]}, {after: 60m,"
                       " notify: ops}]")
        .replace("wait: 10s", "wait: 10m")
        .replace("every: 15m", "every: 30s")
        .replace("    group", "    title: T\n    body: B\n    group")
    )  # fmt: skip
    warnings = "\n".join(read(tmp_path, text).warnings)
    for says in (
        "escalate: the same one stands there twice, after 1 h",
        "group: every 1 min is shorter than wait 10 min",
        "remind: every 30 s is shorter than every 1 min of group",
        "title: digests are written without it",
        "body: digests are written without it",
    ):
        assert says in warnings
    assert "routes.yaml:7: warning: route " in warnings
    assert "warning: route " not in " ".join(read(tmp_path, PEOPLE).warnings)


def test_a_destination_has_quiet_hours_too(tmp_path: Path) -> None:
    text = GOOD.replace(
        "ops: console://", 'ops: {url: console://, quiet: {from: "22:00", to: "07:00", tz: UTC}}'
    )
    assert "22:00 to 07:00 UTC" in str(read(tmp_path, text).destinations["ops"].quiet)
    told = problems(tmp_path, text.replace("tz:", "tzz:"))
    assert any("5: unknown key 'tzz': did you mean 'tz'?" in line for line in told)


def test_whom_only_an_escalation_names_is_named(tmp_path: Path) -> None:
    text = PEOPLE.replace("  ops: console://", "  ops: console://\n  boss: console://").replace(
        "after: 1h, notify: [ops]", "after: 1h, notify: [boss]"
    )
    assert not any("boss" in warning for warning in read(tmp_path, text).warnings)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", ""),
        (", retry_for: 5m", ""),  # nobody wrote the ten minutes
        (", warn_after: 2h, retry_for: 1h", "its messages are given up before anybody is warned"),
        (", warn_after: 20s", "is shorter than timeout 30 s, which a single attempt may take"),
        (", warn_after: 1m", ""),
    ],
)
def test_a_warning_that_would_come_too_late_or_too_soon_is_told(
    tmp_path: Path, options: str, says: str
) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD.replace("console://", f"{{url: console://{options}}}"), "utf-8")
    about = [w for w in load(str(path), {}).warnings if "warn_after" in w]
    assert len(about) == bool(says)
    assert says in "".join(about)


def test_alarms_are_asked_for_by_a_word_a_list_or_all_of_them(tmp_path: Path) -> None:
    for asked, wanted in (
        ("true", set(AlarmKind)),
        ("reload", {AlarmKind.RELOAD}),
        ("[destination, reload]", {AlarmKind.DESTINATION, AlarmKind.RELOAD}),
        ('"!reload"', set(AlarmKind) - {AlarmKind.RELOAD}),
        ("true, source: asteroid", {AlarmKind.SIGNATURES, AlarmKind.SOURCE_QUIET,
                                    AlarmKind.QUARANTINED, AlarmKind.WEBHOOKS_MISSED}),
    ):  # fmt: skip
        path = tmp_path / "routes.yaml"
        path.write_text(GOOD.replace("{verdict: rejected}", f"{{alarm: {asked}}}"), "utf-8")
        route = load(str(path), {}).routes[1]
        told = set()
        for kind in AlarmKind:
            source = "" if kind in (AlarmKind.DESTINATION, AlarmKind.RELOAD) else "asteroid"
            if not route.why_not(Subject(source, Verdict.APPLIED, alarm=kind.value)):
                told.add(kind)
        assert told == wanted
        assert route.why_not(Subject("asteroid", Verdict.APPLIED)) == "it is about alarms"
        dead = Subject("asteroid", Verdict.APPLIED, dead_letter="ops")
        assert route.why_not(dead) == "it is about alarms"


def test_routes_about_events_and_dead_letters_are_not_asked_about_alarms(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD.replace("{verdict: rejected}", "{dead_letter: true}"), "utf-8")
    alarm = Subject("asteroid", Verdict.APPLIED, alarm="reload")
    assert [route.why_not(alarm) for route in load(str(path), {}).routes] == [
        "it is about events", "it is about dead letters",
    ]  # fmt: skip
