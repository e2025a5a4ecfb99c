"""The page and the command of a backtest: other rules, and what they would have told."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.config import routes_file
from receiver.errors import ConfigurationError
from receiver.store.reading import PastEvent
from receiver.web.pages import backtests
from tests.support.commands import run
from tests.support.live import PUBLIC, Live, live
from tests.support.visited import NAME, ROUTES, Visit

PATH = "/routes/backtest"
OTHERS = ROUTES.replace("failed}, notify: [ops]}", "failed}, notify: [ops, approvers]}")
SECRET = "xq-secret-of-the-server-7h2k9"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with two failures, one of them hostile."""
    with live(tmp_path_factory.mktemp("backtest"), ROUTES) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "plain"))
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "bad", agent_name=NAME))
        yield receiver


def test_the_page_shows_who_would_have_been_told_more_and_why(small: Live) -> None:
    before = small.store.ledger()
    shown = Visit(small).post(PATH, {"rules": OTHERS, "days": "7"})
    assert shown.status == 200
    assert "5 messages instead of 3" in shown.text
    assert "Would have been told more, for example" in shown.text
    assert "route &#39;failures&#39; does not name approvers" in shown.text
    assert 'href="/executions/asteroid/plain"' in shown.text
    assert "<script>window" not in shown.text
    assert small.store.ledger()["accepted"] == before["accepted"]
    assert small.in_force.rules.route("failures").notify == ("ops",)  # type: ignore[union-attr]


def test_its_errors_are_those_of_check(small: Live, tmp_path: Path) -> None:
    wrong = OTHERS.replace("status: failed", "status: faild")
    shown = Visit(small).post(PATH, {"rules": wrong, "days": "7"})
    assert shown.status == 422
    file = tmp_path / "routes.yaml"
    file.write_text(wrong, "utf-8")
    with pytest.raises(ConfigurationError) as told:
        routes_file.load(str(file), {"PUBLIC": PUBLIC})
    assert len(told.value.problems) == 2
    for line in told.value.problems:
        said = line.removeprefix(str(file)).replace("'", "&#39;")
        assert f"the edited rules{said}" in shown.text


def test_no_variable_and_no_file_of_the_server_comes_out(
    small: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET, "utf-8")
    monkeypatch.setenv("OURS", SECRET)
    monkeypatch.setenv("THEIRS_FILE", str(file))
    for name in ("OURS", "THEIRS", "OURS:-x", "PUBLIC"):
        for place in ("name: failures", "status: failed}", "console://", "json://127.0.0.1:9/"):
            pasted = ROUTES.replace(place, place.replace("failed", "").rstrip("}") + f"${{{name}}}")
            quoted = pasted.replace(f"status: ${{{name}}}", f"status: '${{{name}}}'}}")
            for each in (pasted, quoted):
                shown = Visit(small).post(PATH, {"rules": each, "days": "7"})
                assert shown.status in (200, 422)
                assert SECRET not in shown.text
                assert PUBLIC not in shown.text


def test_the_form_begins_with_the_rules_in_force_and_no_value_of_a_variable(small: Live) -> None:
    shown = Visit(small).get(PATH).text
    (text,) = re.findall(r'(?s)<textarea name="rules"[^>]*>\n(.*?)</textarea>', shown)
    assert html.unescape(text) == ROUTES
    assert "${PUBLIC}" in text
    assert PUBLIC.splitlines()[1] not in shown
    same = Visit(small).post(PATH, {"rules": html.unescape(text), "days": "7"})
    assert (same.status, "Nobody would have been told anything else" in same.text) == (200, True)


def test_rules_with_a_secret_written_out_are_not_shown(tmp_path: Path) -> None:
    routes = ROUTES.replace("json://127.0.0.1:9/", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazk/#ops")
    with live(tmp_path, routes) as receiver:
        shown = Visit(receiver).get(PATH).text
        assert "TIiajkdnlazk" not in shown
        assert ">\n</textarea>" in shown
        assert "may have a secret written out: line 7, destinations.pager." in shown
        assert receiver.in_force.rules.text == ""
        (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
        receiver.in_force.reload()
        assert "name: confirmations" in Visit(receiver).get(PATH).text


COMMENTS = (
    "# secret_header: {name: X-Receiver-Secret, value: 'hunter2-and-more'}",
    "# keys: ['3f9a8b7c6d5e4f3a']", "# password=Tr0ub4dor&3", f"# {'q' * 40}", f"# {'12' * 16}",
    "# aB3!aB4!aB5!aB6", "#https://hooks.slack.com/services/T01234567/B01234567/abcdEFGH1234ijkl",
)  # fmt: skip


def test_no_comment_of_the_file_is_shown(tmp_path: Path) -> None:
    routes = ROUTES.replace('["${PUBLIC}"]}', '["${PUBLIC}"]}#was 3f9a8b7c6d5e4f3a3f9a8b7c')
    for comment in COMMENTS:
        routes = routes.replace("routes:", f"{comment}\nroutes:")
        routes = routes.replace("ops: console://\n", f"ops: 'console://'{comment}\n", 1)
    with live(tmp_path, routes) as receiver:
        shown = Visit(receiver).get(PATH).text
        (text,) = re.findall(r'(?s)<textarea name="rules"[^>]*>\n(.*?)</textarea>', shown)
        assert html.unescape(text).replace("'console://'", "console://") == ROUTES
        assert "without its comments" in shown
        for comment in ("3f9a", *COMMENTS):
            assert html.escape(comment) not in shown


def test_a_variable_in_a_route_is_an_error_with_what_to_do(small: Live) -> None:
    rules = ROUTES.replace('"Hostile*"', '"${TEAM}"')
    shown = Visit(small).post(PATH, {"rules": rules, "days": "7"})
    assert "variables are not filled in here: write the value itself" in shown.text


@pytest.mark.parametrize(
    "form",
    [{}, {"rules": "", "days": "7"}, {"rules": "[" * 9_000, "days": "7"},
     {"rules": ROUTES, "days": "0"}, {"rules": ROUTES, "days": "91"},
     {"rules": ROUTES, "days": "-1"}, {"rules": ROUTES, "days": "9" * 400},
     {"rules": "#" * 200_001, "days": "7"}, {"rules": "\ud800\0", "days": "7"}],
    ids=["nothing", "empty", "deep", "no-days", "days", "negative", "number", "large", "text"],
)  # fmt: skip
def test_what_cannot_be_tried_is_said(small: Live, form: dict[str, str]) -> None:
    given = {name: text.encode("utf-8", "replace").decode() for name, text in form.items()}
    shown = Visit(small).post(PATH, given)
    assert shown.status == 422
    # Days and sizes are no fault of the rules.
    is_about_rules = given.get("days") in (None, "7") and len(given.get("rules", "")) < 200_000
    if given:
        assert ("These rules cannot be tried" in shown.text) is is_about_rules
    assert 'role="alert"' in shown.text


def test_a_variable_in_a_route_has_its_default(small: Live) -> None:
    rules = OTHERS.replace('"Hostile*"', '"${TEAM:-Hostile*}"')
    shown = Visit(small).post(PATH, {"rules": rules, "days": "7"})
    assert (shown.status, "5 messages instead of 3" in shown.text) == (200, True)


def test_a_file_that_is_too_large_for_the_form_is_said_to_be(tmp_path: Path) -> None:
    more = "".join(f"  - {{name: more {n:04}, match: {{agent: {'word ' * 18}}}, notify: [ops]}}\n"
                   for n in range(1_500))  # fmt: skip
    with live(tmp_path, ROUTES + more) as receiver:
        shown = Visit(receiver).get(PATH).text
        assert ">\n</textarea>" in shown
        assert "they have more than 200,000 bytes" in shown
        assert "secret written out" not in shown


def test_one_at_a_time_is_tried_and_not_for_long(
    small: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    past = small.store.past

    def slowly(since: int, after: int, limit: int) -> Sequence[PastEvent]:
        entered.set()
        assert go_on.wait(20)
        return past(since, after, limit)

    monkeypatch.setattr(small.store, "past", slowly)
    form = {"rules": OTHERS, "days": "7"}
    first = threading.Thread(target=lambda: Visit(small).post(PATH, form))
    first.start()
    assert entered.wait(20)
    refused = Visit(small).post(PATH, form)
    go_on.set()
    first.join()
    assert (refused.status, "Another backtest is under way" in refused.text) == (422, True)
    assert "These rules" not in refused.text
    monkeypatch.setattr(backtests, "MAX_EVENTS", 1)
    assert "there are more than this page looks at" in Visit(small).post(PATH, form).text


def test_the_command_compares_a_file_with_the_rules_in_force(small: Live) -> None:
    folder = Path(small.in_force.rules.path).parent
    url = f"sqlite:///{folder / 'receiver.db'}"
    (folder / "new.yaml").write_text(OTHERS, "utf-8")

    def command(*words: str) -> tuple[int, str, str]:
        done = run(folder, "backtest", *words, PUBLIC=PUBLIC, RECEIVER_DATABASE_URL=url)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    code, told, _ = command("--routes", "new.yaml", "--since", "2h")
    assert code == 0
    assert "approvers: 2 instead of 0 (2 more)" in told
    assert "route 'failures' does not name approvers" in " ".join(told.split())
    code, told, _ = command("--routes", "new.yaml", "--json")
    assert (code, json.loads(told)["before"], json.loads(told)["after"]) == (0, 3, 5)
    assert json.loads(command("--routes", "routes.yaml", "--json")[1])["examples"] == []
    assert json.loads(command("--routes", "new.yaml", "--most", "1", "--json")[1])["events"] == 1
    (folder / "bad.yaml").write_text(OTHERS.replace("notify", "notifi", 1), "utf-8")
    code, told, wrong = command("--routes", "bad.yaml")
    assert (code, told) == (1, "")
    assert "bad.yaml:11: " in wrong
    new = ("--routes", "new.yaml")
    for words in ((), (*new, "--since", "soon"), (*new, "--most", "0")):
        assert command(*words)[0] == 2, words
    code, _, wrong = command("--routes", "none.yaml")
    assert (code, "none.yaml:1: it cannot be read" in wrong) == (1, True)
