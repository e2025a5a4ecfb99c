"""What an attempt came to, from the record of its call: without any destination."""

from __future__ import annotations

import pytest

from receiver.deliveries import Attempt, Outcome
from receiver.destinations.outcome import classify
from receiver.destinations.record import CallRecord, Exchange, Refusal

FAILED, UNCERTAIN = Outcome.FAILED, Outcome.UNCERTAIN
NO_USER, LATER = Refusal(550, "RCPT", "no such user"), Refusal(451, "RCPT", "later")


def judged(
    record: CallRecord, *, done: bool = False, late: bool = False, targets: int = 1
) -> Attempt:
    return classify(record, done=done, late=late, targets=targets, timeout=30)


@pytest.mark.parametrize(
    ("record", "late", "outcome", "detail"),
    [
        (CallRecord(untraced=True), False, FAILED, "Apprise says that it failed, and not why"),
        (CallRecord(error="Connection refused"), False, FAILED,
         "no connection: Connection refused"),
        (CallRecord(), True, FAILED, "no connection within 30 s"),
        (CallRecord(untraced=True), True, UNCERTAIN, "no answer within 30 s"),
        (CallRecord(untraced=True, warnings=["No recipients."]), False, FAILED, "No recipients."),
        (CallRecord(connected=True), True, FAILED,
         "connected, and not ready for the message within 30 s"),
        (CallRecord(connected=True, error="x"), False, FAILED,
         "the connection failed before the message: x"),
        (CallRecord(connected=True, written=True), True, UNCERTAIN,
         "it was sent, and no answer came within 30 s"),
        (CallRecord(connected=True, written=True, error="reset"), False, UNCERTAIN,
         "it was sent, and no answer came (the connection ended: reset)"),
        (CallRecord(connected=True, untraced=True), False, UNCERTAIN, "no answer within 30 s"),
        (CallRecord(connected=True, untraced=True, warnings=["Failed."]), False, UNCERTAIN,
         "Failed."),
        (CallRecord(status=502, phrase="Bad Gateway"), False, FAILED, "HTTP 502 Bad Gateway"),
        (CallRecord(status=799, answer="no"), False, FAILED, "HTTP 799: no"),
        (CallRecord(status=200, phrase="OK", warnings=["Not ok."]), False, FAILED,
         "HTTP 200 OK: Not ok."),
        (CallRecord(status=200, phrase="OK", cut_short=True), False, UNCERTAIN,
         "HTTP 200 OK, and the rest of the answer did not come"),
        (CallRecord(status=202, phrase="Accepted", warnings=["error=202."]), False, UNCERTAIN,
         "HTTP 202 Accepted, which Apprise does not take for a yes: it may have arrived"),
        (CallRecord(status=204, own=False, warnings=["Login failed."]), False, FAILED,
         "HTTP 204: Login failed."),
        (CallRecord(status=201, phrase="Created", says_no=True, answer="no room"), False, FAILED,
         "HTTP 201 Created: no room"),
        (CallRecord(status=429, phrase="Too Many Requests", answer="slowly", wanted_wait=7.0),
         False, FAILED, "HTTP 429 Too Many Requests: slowly. It asks to wait 7 s"),
        (CallRecord(status=200, phrase="OK", wanted_wait=7.0), False, FAILED,
         "It asks to wait 7 s"),
        (CallRecord(status=307, phrase="Temporary Redirect"), False, FAILED,
         "HTTP 307 Temporary Redirect: redirects are not followed, give the address it leads to"),
        (CallRecord(refusal=Refusal(421, "the greeting", "busy")), False, FAILED,
         "SMTP 421 to the greeting: busy"),
        (CallRecord(refused_recipients=[NO_USER, LATER]), False, FAILED,
         "SMTP 550 to RCPT: no such user; SMTP 451 to RCPT: later"),
    ],
)  # fmt: skip
def test_a_failure_says_what_it_was(
    record: CallRecord, late: bool, outcome: Outcome, detail: str
) -> None:
    attempt = judged(record, late=late)
    assert (attempt.outcome, attempt.detail) == (outcome, detail)
    assert not attempt.permanent


def test_the_wait_that_the_service_names_counts_more_than_that_of_its_plugin() -> None:
    record = CallRecord(status=429, wanted_wait=20.0, retry_after=9.0)
    assert (judged(record).retry_after, judged(record).permanent) == (9.0, False)
    assert judged(CallRecord(wanted_wait=20.0)).retry_after == 20.0


@pytest.mark.parametrize(
    "record",
    [
        CallRecord(status=404), CallRecord(status=200, answer="invalid_auth"),
        CallRecord(refused_recipients=[NO_USER]),
        CallRecord(refusal=Refusal(535, "AUTH", "wrong")),
    ],
)  # fmt: skip
def test_what_no_repeat_can_mend_is_permanent(record: CallRecord) -> None:
    assert judged(record).permanent


def test_every_4xx_is_permanent_but_those_that_a_repeat_may_mend() -> None:
    passing = {
        status for status in range(400, 500) if not judged(CallRecord(status=status)).permanent
    }
    assert passing == {408, 409, 420, 421, 423, 425, 429}


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_who_says_when_to_come_back_does_not_refuse_for_good(status: int) -> None:
    attempt = judged(CallRecord(status=status, retry_after=30.0))
    assert (attempt.outcome, attempt.permanent, attempt.retry_after) == (FAILED, False, 30.0)
    for refused in (
        CallRecord(status=status, retry_after=30.0, lasting=True),
        CallRecord(status=status, retry_after=30.0, answer="channel_not_found"),
    ):
        assert judged(refused).permanent


def test_of_the_other_statuses_only_a_missing_method_or_version_is_permanent() -> None:
    others = [*range(200, 400), *range(500, 600)]
    permanent = [status for status in others if judged(CallRecord(status=status)).permanent]
    assert permanent == [501, 505]


@pytest.mark.parametrize(
    "word",
    [
        "restricted_action", "restricted_action_read_only_channel", "channel_not_found",
        "is_archived", "channel_is_archived", "invalid_token", "team_disabled", "no_active_hooks",
        "no_text", "msg_too_long", "posting_to_general_channel_denied", "not_in_channel",
        "missing_scope", "token_expired", "users_not_found", "invalid_blocks",
    ],
)  # fmt: skip
def test_slacks_words_that_no_repeat_mends_are_permanent(word: str) -> None:
    assert judged(CallRecord(status=200, answer=word)).permanent


@pytest.mark.parametrize(
    "word",
    [
        "rate_limited", "ratelimited", "fatal_error", "internal_error", "service_unavailable",
        "request_timeout", "team_added_to_org", "org_login_required", "message_limit_exceeded",
        "rollup_error", "is_archived_soon", "not_is_archived",
    ],
)  # fmt: skip
def test_slacks_words_for_what_passes_are_tried_again(word: str) -> None:
    assert not judged(CallRecord(status=200, answer=word)).permanent


def test_mail_that_can_never_be_sent_is_permanent_with_its_reason() -> None:
    attempt = judged(CallRecord(connected=True, unsendable="a letter that is not ASCII"))
    assert (attempt.outcome, attempt.permanent) == (FAILED, True)
    assert attempt.detail == "a letter that is not ASCII"


def test_a_permanent_word_in_an_answer_of_5xx_is_not_believed() -> None:
    assert not judged(CallRecord(status=500, answer="invalid_auth")).permanent


def test_what_a_mail_server_has_taken_is_delivered_though_it_hangs_then() -> None:
    record = CallRecord(connected=True, mails_taken=1)
    assert judged(record, late=True).outcome is Outcome.DELIVERED
    assert judged(record, late=True, targets=2).outcome is UNCERTAIN


@pytest.mark.parametrize(
    ("refused", "outcome", "permanent"), [(LATER, UNCERTAIN, False), (NO_USER, FAILED, True)]
)
def test_a_part_that_has_it_gets_a_repeat_only_if_that_can_reach_the_rest(
    refused: Refusal, outcome: Outcome, permanent: bool
) -> None:
    attempt = judged(CallRecord(mails_taken=1, refused_recipients=[refused]))
    assert (attempt.outcome, attempt.permanent) == (outcome, permanent)
    assert "a part of its recipients has it" in attempt.detail


def test_a_login_that_went_well_is_not_a_part_that_has_it() -> None:
    for record in (
        CallRecord(accepted=1, status=500),
        CallRecord(accepted=1, error="Connection refused"),
    ):
        assert judged(record).outcome is FAILED
        assert judged(record, targets=2).outcome is UNCERTAIN


def test_a_plugin_that_would_sleep_says_when_to_come_back() -> None:
    attempt = judged(CallRecord(status=429, wanted_wait=12.5))
    assert (attempt.outcome, attempt.retry_after) == (FAILED, 12.5)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (CallRecord(), "nothing was sent: Apprise says that it failed, and not why"),
        (CallRecord(warnings=["No rooms.", "b", "c"]), "nothing was sent: No rooms. b"),
    ],
)
def test_what_fails_before_anything_is_sent_is_dead_at_once(record: CallRecord, says: str) -> None:
    attempt = judged(record)
    assert (attempt.outcome, attempt.permanent, attempt.detail) == (FAILED, True, says)
    late = judged(record, late=True)
    assert (late.permanent, late.detail) == (False, "no connection within 30 s")


LOGIN = Exchange(own=False, may_be_own=False, status=200, whole=True)
SENT = Exchange(status=200, whole=True)
SAID_NO = Exchange(status=200, whole=True, says_no=True, answer="no such room")


def of(*exchanges: Exchange) -> CallRecord:
    return CallRecord(connected=True, exchanges=list(exchanges))


def test_apprise_alone_delivers_nothing() -> None:
    assert judged(of(LOGIN, SENT), done=True).outcome is Outcome.DELIVERED
    assert judged(CallRecord(mails_taken=1), done=True).outcome is Outcome.DELIVERED
    assert judged(CallRecord(untraced=True), done=True).outcome is Outcome.DELIVERED
    assert judged(of(SAID_NO), done=True).outcome is FAILED
    assert judged(of(Exchange(status=500, whole=True)), done=True).outcome is FAILED
    assert judged(of(Exchange(written=True)), done=True).outcome is UNCERTAIN


def test_a_success_without_any_request_is_dead_at_once_and_says_so() -> None:
    attempt = judged(CallRecord(warnings=["No alert is known."]), done=True)
    assert (attempt.outcome, attempt.permanent) == (FAILED, True)
    assert "made no request" in attempt.detail
    assert attempt.detail.endswith("No alert is known.")


def test_a_success_after_a_login_alone_is_failed_and_may_be_repeated() -> None:
    attempt = judged(of(LOGIN), done=True)
    assert (attempt.outcome, attempt.permanent) == (FAILED, False)
    assert "no more than a login or a look-up" in attempt.detail


@pytest.mark.parametrize(
    ("own", "outcome", "permanent", "detail"),
    [
        (Exchange(written=True, error="reset"), UNCERTAIN, False,
         "it was sent, and no answer came (the connection ended: reset)"),
        (Exchange(status=400, whole=True, answer="no room"), FAILED, True, "HTTP 400: no room"),
        (Exchange(status=429, whole=True, retry_after=7.0), FAILED, False, "HTTP 429"),
        (Exchange(error="refused"), FAILED, False,
         "the connection failed before the message: refused"),
    ],
)  # fmt: skip
def test_the_answer_to_the_message_counts_and_not_that_to_a_login_or_logout(
    own: Exchange, outcome: Outcome, permanent: bool, detail: str
) -> None:
    attempt = judged(of(LOGIN, own, LOGIN))
    assert (attempt.outcome, attempt.permanent, attempt.detail) == (outcome, permanent, detail)
    assert attempt.retry_after == own.retry_after


def test_a_logout_that_fails_after_the_message_was_taken_changes_nothing() -> None:
    for logout in (Exchange(own=False, status=500), Exchange(own=False, written=True)):
        assert judged(of(LOGIN, SENT, logout)).outcome is Outcome.DELIVERED
        assert judged(of(LOGIN, SENT, logout), late=True).outcome is Outcome.DELIVERED


def test_what_a_plugin_does_not_take_for_a_success_is_none() -> None:
    assert judged(of(LOGIN, SENT)).outcome is FAILED


def test_a_cut_before_the_message_was_written_is_failed() -> None:
    cut = Exchange(own=False, may_be_own=False, written=True, error="reset")
    for late in (False, True):
        assert judged(of(cut), late=late).outcome is FAILED
        assert judged(of(Exchange(own=True, written=True)), late=late).outcome is UNCERTAIN


def test_the_first_refusal_around_the_message_is_the_reason_and_not_a_logout() -> None:
    refused = Exchange(own=False, may_be_own=False, status=403, whole=True, answer="no such room")
    attempt = judged(of(LOGIN, refused, LOGIN))
    assert (attempt.permanent, attempt.detail) == (True, "HTTP 403: no such room")


@pytest.mark.parametrize(
    ("status", "says_no", "lasting", "permanent"),
    [
        (200, True, True, True), (200, True, None, False), (200, True, False, False),
        (400, False, False, False), (400, False, None, True), (500, False, True, False),
        (429, False, True, False),
    ],
)  # fmt: skip
def test_a_refusal_is_for_good_by_its_status_unless_its_words_know_better(
    status: int, says_no: bool, lasting: bool | None, permanent: bool
) -> None:
    exchange = Exchange(status=status, whole=True, says_no=says_no, lasting=lasting)
    assert judged(of(exchange), done=says_no).permanent is permanent


def test_an_answer_without_what_the_service_always_says_is_uncertain() -> None:
    unclear = Exchange(status=200, whole=True, unclear=True)
    for done in (True, False):
        attempt = judged(of(LOGIN, unclear), done=done)
        assert (attempt.outcome, attempt.permanent) == (UNCERTAIN, False)
        assert attempt.detail == (
            "HTTP 200, without the yes or no that the service says in every answer: it may have"
            " arrived"
        )
    login = Exchange(own=False, may_be_own=False, status=200, whole=True, unclear=True)
    assert judged(of(login)).outcome is FAILED


def test_a_message_in_parts_of_which_one_was_refused_has_arrived_in_part() -> None:
    attempt = judged(of(SENT, Exchange(status=500, whole=True)))
    assert attempt.outcome is UNCERTAIN
    assert "a part of" in attempt.detail


def test_an_answer_that_did_not_come_whole_is_uncertain_at_the_deadline() -> None:
    assert judged(of(Exchange(status=200)), late=True).outcome is UNCERTAIN
    assert judged(of(SENT), late=True).outcome is Outcome.DELIVERED
