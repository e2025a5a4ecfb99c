"""Patterns of routes.yaml and of silences: as they are written, and none that can match nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from receiver.config import strict_yaml
from receiver.config.silence_request import match_of, read_silence
from receiver.errors import ConfigurationError
from receiver.events import Status, Verdict
from receiver.lifecycle import judge
from receiver.routing.conditions import Subject
from receiver.sources.formats.registry import FORMATS
from receiver.sources.source import Source
from receiver.sources.verification import Verification
from receiver.times import SECOND
from tests.unit.config.test_routes_file import GOOD, problems, read

PLAIN = GOOD.replace("    verify:", "    format: plain\n    verify:")
BOTH = GOOD.replace(
    "destinations:",
    "  own:\n    format: plain\n"
    "    verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}\ndestinations:",
)
SOURCES = {name: Source(name, name, Verification("token", ())) for name in ("asteroid", "plain")}
NOW = 1_800_000_000 * SECOND
SILENCE: dict[str, Any] = {"reason": "a test", "by": "me", "for": "2h"}


def with_match(match: str, text: str = GOOD) -> str:
    return text.replace("{status: failed}", match, 1)


@pytest.mark.parametrize(
    "written",
    ["1.10", "True", "true", "FALSE", "on", "off", "yes", "no", "0x10", "0o17", "007", "1e3", "+1",
     "2026-01-02", "22:30", "null", "Null", "~", ".5", "1_000", "-0", "1.0", "99999999999999999999",
     "[Prod] Invoice agent"],
)  # fmt: skip
def test_a_pattern_is_what_is_written(tmp_path: Path, written: str) -> None:
    quoted = f"'{written}'" if written.startswith("[") else written
    for match in (
        f"{{metadata: {{release: {quoted}}}}}",
        f"{{metadata: {{release: [{quoted}]}}}}",
        f"\n      metadata:\n        release: {quoted}",
    ):
        route = read(tmp_path, with_match(match)).routes[0]
        assert route.conditions[0].patterns == (written,)
        assert route.why_not(Subject("s", Verdict.APPLIED, metadata={"release": written})) == ""
    for name in ("agent", "reason", "outcome"):
        route = read(tmp_path, with_match(f"{{{name}: {quoted}}}")).routes[0]
        assert route.conditions[0].patterns == (written,)


def test_text_is_taken_as_written_wherever_text_belongs(tmp_path: Path) -> None:
    text = (
        GOOD.replace("name: failures", "name: 1.10")
        .replace("[a-token-of-sixteen-bytes]", "[{key: 1234567890123456.10, label: 2025}]")
        .replace("    verify", "    agents: [007, 1e3, True]\n    verify")
    )
    rules = read(tmp_path, text)
    source = rules.sources["asteroid"]
    assert source.verification.keys == (b"1234567890123456.10",)
    assert source.verification.labels == ("2025",)
    assert source.agents == {"007", "1e3", "True"}
    assert rules.routes[0].name == "1.10"


def test_what_is_no_text_is_read_as_yaml_means_it(tmp_path: Path) -> None:
    text = GOOD.replace(
        "    notify: [ops]",
        "    stop: True\n    remind: {every: 1h, at_most: 3}\n    notify: [ops]",
    ).replace("status: failed", "status: paused")
    text = text.replace("    verify", "    rejected_status: 409\n    verify")
    rules = read(tmp_path, text.replace("ops: console://", "ops: {url: console://, parallel: 2}"))
    assert rules.routes[0].stop is True
    assert rules.sources["asteroid"].rejected_status == 409
    assert rules.destinations["ops"].parallel == 2
    assert read(tmp_path, text.replace("409", "${ANSWER:-409}")).sources["asteroid"]
    for wrong in ("yes", "on", "1", "'true'", "nope"):
        found = problems(tmp_path, text.replace("stop: True", f"stop: {wrong}"))
        assert found == ["10: stop: must be true or false"]


IMPOSSIBLE = [
    ("{event: EXECUTION_FAIL}", "there is no 'EXECUTION_FAIL': did you mean 'EXECUTION_FAILED'?"),
    ("{event: EXECUTION_FIAL*}", "there is no 'EXECUTION_FIAL*': did you mean 'EXECUTION_FAILED'?"),
    ("{event: execution_failed}", "event: there is no 'execution_failed'"),
    ("{event: EXECUTION_FAIL, verdict: [rejected, quarantined]}", "did you mean"),
    ("{event: '!EXECUTION_*'}", "at once"),
    ("{event: STEP_DONE}", "event: there is no 'STEP_DONE'"),
    ("{event: EXECUTION_ACTION_FAILED}", "without `verdict` it has to be applied"),
    ("{status: failed, category: awaiting}",
     "no event fits status failed and category awaiting at once"),
    ("{status: '!failed', event: EXECUTION_FAILED}",
     "no event fits status !failed and event EXECUTION_FAILED at once"),
    ("{status: completed, event: [EXECUTION_FAILED, EXECUTION_PAUSED]}", "at once"),
    ("{status: starting, event: EXECUTION_STARTED}", "no event fits"),
    ("{status: '!failed', category: terminal, event: EXECUTION_FAILED}", "at once"),
    ("{status: ['!completed', '!failed', '!cancelled'], category: terminal}", "at once"),
    ("{status: [failed, '!failed']}", "status: no event fits failed, !failed"),
    ("{status: ['*', '!*ed', '!running', '!starting', '!paused*', '!await*']}", "no event fits"),
    ("{status: failed, verdict: ignored}", "no event fits status failed and verdict ignored"),
    ("{category: terminal, verdict: ignored}", "verdict ignored"),
    ("{status: '!*'}", "no event fits"),
    ("{source: '!*'}", "source: no event fits !*"),
    ("{source: asteroid, verdict: '!*'}", "verdict: no event fits !*"),
    ("{status: 'fial*'}", "status: nothing fits 'fial*'"),
    ("{status: '!fial*'}", "status: nothing fits 'fial*'"),
    ("{status: '!faild'}", "status: there is no 'faild': did you mean 'failed'?"),
    ("{category: 'end?'}", "category: nothing fits 'end?'"),
    ("{verdict: 'reject'}", "verdict: there is no 'reject': did you mean 'rejected'?"),
    ("{verdict: 'x*'}", "verdict: nothing fits 'x*'"),
    ("{source: 'b*'}", "source: nothing fits 'b*': known are asteroid"),
    ("{dead_letter: 'x*'}", "dead_letter: nothing fits 'x*': known are ops"),
    ("{dead_letter: true, status: failed, category: awaiting}", "at once"),
    ("{reason: [timeout, '!timeout']}", "reason: timeout, !timeout excludes everything"),
    ("{reason: ['t*', '!t*']}", "excludes everything"),
    ("{agent: [a, b, '!?']}", "agent: a, b, !? excludes everything"),
    ("{metadata: {team: ['*', '!*']}}", "metadata.team: *, !* excludes everything"),
    ("{reason: ''}", "reason: an empty pattern fits nothing"),
    ("{agent: '!'}", "agent: an empty pattern fits nothing"),
    ("{reason: }", "reason: says nothing"),
    ("{status: []}", "status: says nothing"),
    ("{metadata: {team: []}}", "team: must not be empty"),
    ("{metadata: {team: }}", "team: says nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("match", "says"), IMPOSSIBLE)
def test_a_pattern_that_can_match_nothing_is_an_error(
    tmp_path: Path, match: str, says: str
) -> None:
    found = problems(tmp_path, with_match(match))
    assert [line for line in found if not line.startswith("8: ")] == []
    assert any(says in line for line in found), found


@pytest.mark.parametrize(
    "match",
    [
        "{event: EXECUTION_FAIL*}", "{event: '*_FAILED', status: failed}",
        "{event: EXECUTION_PAUSED, status: paused_by_agent}", "{status: '!failed'}",
        "{event: STEP_DONE, verdict: ignored}", "{event: EXECUTION_ACTION_*, verdict: [ignored]}",
        "{category: terminal, status: [failed, running]}", "{verdict: quarantined}",
        "{category: awaiting, event: EXECUTION_AWAITING_CONFIRMATION, verdict: held}",
        "{status: starting}", "{reason: '!*'}", "{reason: ['t*', '!timeout']}", "{source: 'a*'}",
        "{dead_letter: true, event: EXECUTION_FAILED}", "{dead_letter: 'o*'}", "{verdict: '*'}",
        "{status: failed, verdict: [ignored, rejected]}", "{metadata: {team: ''}}",
        "{status: failed, verdict: quarantined}", "{agent: '[Prod] *'}",
    ],
)  # fmt: skip
def test_a_pattern_that_can_match_is_none(tmp_path: Path, match: str) -> None:
    assert len(read(tmp_path, with_match(match)).routes) == 2


def test_the_names_of_events_are_those_of_the_formats_that_a_route_is_about(tmp_path: Path) -> None:
    assert read(tmp_path, with_match("{event: failed}", PLAIN))
    assert read(tmp_path, with_match("{event: queued, verdict: quarantined}", PLAIN))
    assert "did you mean 'failed'" in problems(tmp_path, with_match("{event: faild}", PLAIN))[0]
    assert problems(tmp_path, with_match("{event: EXECUTION_FAILED}", PLAIN))
    assert problems(tmp_path, with_match("{event: failed}"))
    for match in ("{event: failed}", "{event: EXECUTION_FAILED}", "{event: failed, source: own}"):
        assert read(tmp_path, with_match(match, BOTH))
    found = problems(tmp_path, with_match("{event: failed, source: asteroid}", BOTH))
    assert "no event fits source asteroid and event failed at once" in found[0]


def test_a_status_that_no_source_announces_is_a_warning(tmp_path: Path) -> None:
    says = "status: no event of your sources announces starting"
    assert says in " ".join(read(tmp_path, with_match("{status: starting}")).warnings)
    assert says not in " ".join(read(tmp_path, with_match("{status: starting}", PLAIN)).warnings)


@pytest.mark.parametrize(("match", "says"), IMPOSSIBLE)
def test_a_silence_that_can_match_nothing_is_an_error_too(match: str, says: str) -> None:
    content = {**SILENCE, "match": strict_yaml.read(match.encode()).content}
    with pytest.raises(ConfigurationError) as caught:
        read_silence(content, 0, {"asteroid": SOURCES["asteroid"]}, ["ops"])
    assert says in "\n".join(caught.value.problems)


def test_a_silence_takes_numbers_and_words_of_json_and_of_a_command_line() -> None:
    for match in (
        {"metadata": {"release": 1.10, "prod": True, "count": [3, 4]}},
        match_of(["metadata.release=1.10", "metadata.prod=True", "metadata.count=3"]),
    ):
        silence = read_silence({**SILENCE, "match": match}, 0, SOURCES, [])
        about = {"release": 1.1, "prod": True, "count": 3}
        assert silence.is_about(Subject("s", Verdict.APPLIED, metadata=about))
        assert not silence.is_about(
            Subject("s", Verdict.APPLIED, metadata={**about, "prod": False})
        )
    silence = read_silence({**SILENCE, "match": {"agent": "[Prod] cafe\u0301 *"}}, 0, SOURCES, [])
    assert silence.is_about(Subject("s", Verdict.APPLIED, agent_name="[Prod] caf\u00e9 1"))
    assert not silence.is_about(Subject("s", Verdict.APPLIED, agent_name="P caf\u00e9 1"))


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_announces_what_it_says(name: str) -> None:
    kind = FORMATS[name]
    seen: dict[str, set[Status]] = {event: set() for event in kind.ANNOUNCES}
    for event in [*kind.ANNOUNCES, "SOMETHING_NEW"]:
        for question in (None, "why?"):
            content: Any = kind.sample(event, "x", event_id="e", occurred_at=NOW, reason="r")
            if question and "info" in content:
                content["info"]["payload"]["question"] = question
            read_event = kind.read("s", content, None)
            assert read_event is not None
            assert read_event.event == event
            if event not in seen:
                assert judge(read_event, None, None, NOW).verdict is kind.UNKNOWN
            elif read_event.status is not None:
                seen[event].add(read_event.status)
            else:
                assert judge(read_event, None, None, NOW).verdict is Verdict.IGNORED
    assert seen == {event: set(statuses) for event, statuses in kind.ANNOUNCES.items()}
