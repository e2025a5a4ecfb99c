"""`receiver send` says what its options mean, and what to do when the server refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.live import PRIVATE, PUBLIC, ROUTES, free_port, live

FAILED = ("--event", "EXECUTION_FAILED", "--execution", "x-1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(
        ROUTES.replace("sources:\n", "sources:\n  plain: {format: plain, verify: {scheme: token,"
                       " header: X-T, keys: [a-token-of-sixteen-bytes]}}\n"), "utf-8"
    )  # fmt: skip
    (tmp_path / "key").write_text(PRIVATE, "utf-8")
    return tmp_path


def send(folder: Path, *more: str, source: str = "asteroid", **environ: str) -> tuple[int, str]:
    command = ("send", "--source", source, "--key", "key", *more)
    done = run(folder, *command, stdin=b"", PUBLIC=PUBLIC, **environ)
    return done.returncode, " ".join((done.stderr or done.stdout).decode().split())


def test_it_says_who_with_what_outcome_metadata_and_question(folder: Path) -> None:
    with live(folder) as receiver:
        port = {"RECEIVER_PORT": receiver.url.rpartition(":")[2]}
        code, told = send(folder, "--event", "EXECUTION_COMPLETED", "--execution", "done",
                          "--agent", "Payroll", "--outcome", "failure", "--metadata", "team=pay",
                          "--metadata", "url=a=b", **port)  # fmt: skip
        assert (code, '"verdict": "applied"' in told) == (0, True)
        known = receiver.ask("/api/executions/asteroid/done")[1]
        assert known["execution"]["agent_name"] == "Payroll"
        assert known["execution"]["metadata"] == {"team": "pay", "url": "a=b"}
        assert known["events"][0]["detail"] == {"outcome": "failure"}
        code, _ = send(folder, "--event", "EXECUTION_PAUSED", "--execution", "asks", "--question",
                       "Which one?", "--option", "this", "--option", "that", **port)  # fmt: skip
        known = receiver.ask("/api/executions/asteroid/asks")[1]
        assert (code, known["execution"]["status"]) == (0, "paused_by_agent")
        (question,) = known["events"][0]["detail"]["question"]["questions"]
        assert question["question"] == "Which one?"
        assert [each["label"] for each in question["options"]] == ["this", "that"]
        send(folder, "--event", "EXECUTION_PAUSED", "--execution", "user", "--paused-by", "user",
             "--url", receiver.url)  # fmt: skip
        known = receiver.ask("/api/executions/asteroid/user")[1]
        assert (known["execution"]["status"], known["events"][0]["flags"]) == ("paused", [])


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("asteroid", ("--event", "EXECUTION_FAIL"), "did you mean 'EXECUTION_FAILED'?"),
        ("asteroid", ("--event", "EXECUTION_AWAITING"), "'EXECUTION_AWAITING_CONFIRMATION'?"),
        ("plain", ("--event", "EXECUTION_FAILED"), "known are starting, running"),
        ("plain", ("--event", "faild"), "did you mean 'failed'?"),
        ("asteroid", ("--event", "EXECUTION_FAILED", "--outcome", "x"),
         "--outcome: EXECUTION_FAILED has none, only EXECUTION_COMPLETED can."),
        ("asteroid", ("--event", "EXECUTION_COMPLETED", "--reason", "x"), "--reason: "),
        ("asteroid", ("--event", "EXECUTION_STARTED", "--question", "x"), "only EXECUTION_PAUSED"),
        ("asteroid", ("--event", "EXECUTION_FAILED", "--paused-by", "user"), "--paused-by: "),
        ("asteroid", ("--event", "EXECUTION_PAUSED", "--paused-by", "usr"), "did you mean 'user'?"),
        ("asteroid", ("--event", "EXECUTION_PAUSED", "--question", "x", "--paused-by", "user"),
         "only an agent asks"),
        ("asteroid", ("--event", "EXECUTION_PAUSED", "--option", "x"), "say with --question"),
        ("plain", ("--event", "paused", "--paused-by", "user"), "no event of format plain can"),
        ("asteroid", ("--event", "EXECUTION_FAILED", "--metadata", "team"), "like team=payments"),
    ],
)  # fmt: skip
def test_what_an_option_cannot_mean_is_wrong_usage(
    folder: Path, source: str, options: tuple[str, ...], words: str
) -> None:
    code, told = send(folder, *options, "--execution", "x", source=source)
    assert (code, words in told) == (2, True), told


def test_a_refusal_says_what_to_do(folder: Path) -> None:
    port = str(free_port())
    code, told = send(folder, *FAILED, RECEIVER_PORT=port)
    assert code == 1
    assert f"Nobody answers at http://127.0.0.1:{port}/webhooks/asteroid" in told
    assert "RECEIVER_PORT" in told
    (folder / "other.yaml").write_text(ROUTES.replace("asteroid:", "renamed:"), "utf-8")
    with live(folder, ROUTES.replace("${PUBLIC}", "")) as receiver:
        (folder / "key").write_text(PRIVATE, "utf-8")
        code, told = send(folder, *FAILED, "--url", receiver.url)
        assert code == 1
        assert "--key is not of a key pair that the server's source asteroid has" in told
        code, told = send(folder, *FAILED, "--url", receiver.url, source="renamed",
                          RECEIVER_ROUTES="other.yaml")  # fmt: skip
        assert (code, "The server there has no source renamed" in told) == (1, True)


def test_a_server_on_every_address_is_asked_on_this_machine(folder: Path) -> None:
    port = str(free_port())
    for host, address in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")):
        code, told = send(folder, *FAILED, RECEIVER_HOST=host, RECEIVER_PORT=port)
        assert (code, f"http://{address}:{port}/" in told) == (1, True), told
