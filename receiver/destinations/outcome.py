"""Outcomes: an attempt is delivered, failed (for good or not) or uncertain.

It is uncertain if the message may have arrived: it was written, or a part of its targets took it,
and no answer says more. It is failed if the message never left, or if the answer was a refusal.
"""

from __future__ import annotations

import re
from dataclasses import replace

from receiver.deliveries import Attempt, Outcome
from receiver.destinations.record import CallRecord, Exchange, Refusal

# HTTP refusals that a repeat may mend: a time-out, a conflict, too many (420 of SparkPost, 429), a
# wrong server, a lock, too early. Every other 4xx is permanent, and so is a server that lacks the
# method or the version.
PASSING_REFUSALS = frozenset({408, 409, 420, 421, 423, 425, 429})
PERMANENT_FAILURES = frozenset({501, 505})
# Slack's words that no repeat mends, from its own documentation: the errors of chat.postMessage
# (docs.slack.dev/reference/methods/chat.postMessage), those of incoming webhooks
# (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks), and those of
# users.lookupByEmail. What it calls passing is not here: fatal_error, internal_error,
# message_limit_exceeded, org_login_required, rate_limited, ratelimited, request_timeout,
# rollup_error, service_unavailable, team_added_to_org.
_SLACKS_WORDS = """
    access_denied accesslimited account_inactive action_prohibited as_user_not_supported
    attachment_payload_limit_exceeded cannot_dm_bot cannot_reply_to_message channel_is_archived
    channel_not_found channel_type_not_supported deprecated_endpoint duplicate_channel_not_found
    duplicate_message_not_found ekm_access_denied enterprise_is_restricted invalid_arg_name
    invalid_arguments invalid_array_arg invalid_attachments invalid_auth invalid_blocks
    invalid_blocks_format invalid_channel invalid_charset invalid_form_data invalid_json
    invalid_metadata_format invalid_metadata_schema invalid_payload invalid_post_type
    invalid_token is_archived json_not_object markdown_text_conflict messages_tab_disabled
    metadata_must_be_sent_from_app metadata_too_large method_deprecated
    method_not_supported_for_channel_type missing_channel missing_charset missing_post_type
    missing_scope missing_text_or_fallback_or_attachments msg_blocks_too_long msg_too_long
    no_active_hooks no_permission no_service no_service_id no_team no_text
    not_allowed_token_type not_authed not_in_channel posting_to_general_channel_denied
    restricted_action restricted_action_non_threadable_channel
    restricted_action_read_only_channel restricted_action_thread_locked
    restricted_action_thread_only_channel slack_connect_canvas_sharing_blocked
    slack_connect_clip_sharing_blocked slack_connect_file_link_sharing_blocked
    slack_connect_file_upload_sharing_blocked team_access_not_granted team_disabled
    team_not_found thread_not_found token_expired token_revoked too_many_attachments
    too_many_contact_cards two_factor_setup_required unknown_method user_disabled user_is_bot
    user_is_restricted user_not_found users_not_found
"""
PERMANENT_WORDS = frozenset(_SLACKS_WORDS.split())


def classify(
    record: CallRecord, *, done: bool, late: bool, targets: int, timeout: float
) -> Attempt:
    """Return the outcome of an attempt, from the record of its call.

    `done`: Apprise reports success. `late`: the deadline (`timeout` seconds) ended it. `targets`:
    the number of targets in the URL.
    """
    exchange = _that_counts(record)
    if exchange is not None:
        record = _of_exchange(record, exchange)
    if _has_arrived(record, exchange, done=done, late=late, targets=targets):
        return Attempt(Outcome.DELIVERED, "")
    if done and (exchange is None or not record.own):
        return _unsent(record)
    attempt = _failure(record, late=late, timeout=timeout)
    in_parts = exchange is not None and bool(record.accepted) and not exchange.is_accepted
    if in_parts:
        return _in_part("a part of it has arrived, the rest has not", attempt)
    # With one target, an accepted request before the failed one was a login or the like.
    if not record.mails_taken and (targets == 1 or not record.accepted):
        return attempt
    return _in_part("a part of its recipients has it, the rest does not", attempt)


def _in_part(what: str, attempt: Attempt) -> Attempt:
    # A repeat reaches even those who have it, so it must be able to reach the rest.
    outcome = Outcome.FAILED if attempt.permanent else Outcome.UNCERTAIN
    detail = f"{what}: {attempt.detail}"
    return Attempt(outcome, detail, 0, attempt.permanent, attempt.retry_after)


def _that_counts(record: CallRecord) -> Exchange | None:
    """Choose the exchange that decides: the message's own, not a login or the like around it.

    Without one of its own, the last that failed is the reason why it came to none.
    """
    # Of such a transport a request is never the message.
    exchanges = [] if record.untraced else record.exchanges
    if own := _own(exchanges):
        open_ones = [exchange for exchange in own if exchange.written]
        return own[-1] if own[-1].is_accepted else (open_ones or own)[-1]
    failed = [exchange for exchange in exchanges if not exchange.is_accepted]
    return (failed or exchanges)[-1] if exchanges else None


def _own(exchanges: list[Exchange]) -> list[Exchange]:
    """Return the requests of the message: those with its words, else those that may be it."""
    own = [exchange for exchange in exchanges if exchange.own]
    return own or [exchange for exchange in exchanges if exchange.may_be_own]


def counted(record: CallRecord) -> CallRecord:
    """Return the record with the facts of the exchange that counts, if there is one."""
    exchange = _that_counts(record)
    return record if exchange is None else _of_exchange(record, exchange)


def _of_exchange(record: CallRecord, exchange: Exchange) -> CallRecord:
    own = _own(record.exchanges)
    return replace(
        record,
        own=(is_own := any(each is exchange for each in own)),
        written=exchange.written and is_own,
        status=exchange.status,
        phrase=exchange.phrase,
        answer=exchange.answer,
        retry_after=exchange.retry_after,
        cut_short=exchange.status is not None and not exchange.whole,
        says_no=exchange.says_no,
        lasting=exchange.lasting,
        unclear=exchange.unclear,
        ended=exchange.ended,
        partial=exchange.partial,
        error=exchange.error or record.error,
        accepted=sum(each.is_accepted for each in own),
    )


def _has_arrived(
    record: CallRecord, exchange: Exchange | None, *, done: bool, late: bool, targets: int
) -> bool:
    """Return whether the message arrived. Apprise's word alone is not enough.

    It takes a request of the message that was accepted, a mail that was taken, or a transport that
    has no such thing.
    """
    refused = bool(record.refused_recipients or record.refusal)
    if exchange is not None:
        if not record.own or not exchange.is_accepted:
            return False
        place = next(n for n, each in enumerate(record.exchanges) if each is exchange)
        rest = record.exchanges[place + 1 :]
        return done or (exchange.whole and (late or not all(each.is_accepted for each in rest)))
    if record.mails_taken:
        # A mail server that hangs after it took the message has it.
        return done or (late and record.mails_taken >= targets and not refused)
    return done and record.untraced


def _unsent(record: CallRecord) -> Attempt:
    """Return the outcome if Apprise reports success, and no request of the message was made."""
    # What makes no request today makes none tomorrow; what looked something up may find it then.
    detail = "Apprise reports success, but made no request: the kind does not send such a message"
    if record.exchanges:
        detail = "Apprise reports success, but sent no more than a login or a look-up"
    said = _warnings_of(record)
    permanent = not record.exchanges
    return Attempt(Outcome.FAILED, f"{detail}. {said}" if said else detail, permanent=permanent)


def _failure(record: CallRecord, *, late: bool, timeout: float) -> Attempt:
    within = f"within {timeout:g} s"
    if record.written:
        ended = f"(the connection ended: {record.error})" if record.error and not late else within
        return Attempt(Outcome.UNCERTAIN, f"it was sent, and no answer came {ended}")
    if record.unsendable:
        return Attempt(Outcome.FAILED, record.unsendable, permanent=True)
    if record.wanted_wait is not None:
        return _early_attempt(record, record.wanted_wait)
    if record.status is not None:
        return _http_attempt(record, record.status, late=late)
    if refusals := record.refused_recipients or ([record.refusal] if record.refusal else []):
        return _mail_attempt(refusals)
    if record.untraced and (record.connected or late):
        # It may use threads of its own, so the probes cannot tell how far it came.
        return Attempt(Outcome.UNCERTAIN, _warnings_of(record) or f"no answer {within}")
    if late and record.connected:
        return Attempt(Outcome.FAILED, f"connected, and not ready for the message {within}")
    if late:
        return Attempt(Outcome.FAILED, f"no connection {within}")
    if record.error:
        what = "the connection failed before the message" if record.connected else "no connection"
        return Attempt(Outcome.FAILED, f"{what}: {record.error}")
    said = _warnings_of(record) or "Apprise says that it failed, and not why"
    if record.untraced:
        return Attempt(Outcome.FAILED, said)
    # It failed here, before anything went over the network: so it will the next time, unless this
    # process lacked something then.
    return Attempt(Outcome.FAILED, f"nothing was sent: {said}", permanent=not record.lacking)


def _early_attempt(record: CallRecord, wait: float) -> Attempt:
    """Return the outcome if the plugin wants to wait, with what the service said before it."""
    status, words = record.status or 0, record.answer
    seconds = wait if record.retry_after is None else record.retry_after
    said = f"HTTP {status} {record.phrase}".rstrip() + (f": {words}. " if words else ". ")
    detail = f"{said if status >= 400 else ''}It asks to wait {seconds:.0f} s"
    return Attempt(Outcome.FAILED, detail, retry_after=seconds)


def _http_attempt(record: CallRecord, status: int, *, late: bool) -> Attempt:
    accepted = 200 <= status < 300
    unsure = accepted and record.own and not record.says_no
    named = f"HTTP {status} {record.phrase}".rstrip()
    if unsure and (record.cut_short or late):
        return Attempt(Outcome.UNCERTAIN, f"{named}, and the rest of the answer did not come")
    if status < 200 and record.own:
        return Attempt(Outcome.UNCERTAIN, f"{named}, which is no answer: it may have arrived")
    if 300 <= status < 400:
        detail = f"{named}: redirects are not followed, give the address it leads to"
        return Attempt(Outcome.FAILED, detail)
    if unsure and status != 200:
        # A plugin that waits for another status says nothing of the message.
        detail = f"{named}, which Apprise does not take for a yes: it may have arrived"
        return Attempt(Outcome.UNCERTAIN, detail)
    if record.partial and record.own:
        said = f"{named}: {record.answer}" if record.answer else named
        detail = f"{said}. A part of it may have arrived"
        return Attempt(Outcome.UNCERTAIN, detail, retry_after=record.retry_after)
    if unsure and record.unclear:
        detail = f"{named}, without the yes or no that the service says in every answer"
        return Attempt(Outcome.UNCERTAIN, f"{detail}: it may have arrived")
    words = record.answer or (_warnings_of(record) if accepted else "")
    detail = f"{named}: {words}" if words else named
    permanent = _is_refused_for_good(record, status)
    return Attempt(Outcome.FAILED, detail, permanent=permanent, retry_after=record.retry_after)


def _is_refused_for_good(record: CallRecord, status: int) -> bool:
    """Return whether no repeat can mend a refusal: its words know best, then a wait, then 4xx."""
    if record.lasting is False:
        return False
    has_word = _holds_permanent_word(record.answer)
    if 200 <= status < 300:
        return has_word or (record.says_no and record.lasting is True)
    # Who says when to come back does not refuse for good, unless a server lacks what is asked.
    is_later = status < 500 and record.retry_after is not None and not (has_word or record.lasting)
    return _is_permanent(status) and not is_later


def _is_permanent(status: int) -> bool:
    """Return whether no repeat can mend an HTTP answer with this status."""
    if 400 <= status < 500:
        return status not in PASSING_REFUSALS
    return status in PERMANENT_FAILURES


def _holds_permanent_word(answer: str) -> bool:
    return not PERMANENT_WORDS.isdisjoint(re.findall(r"[a-z_]+", answer))


def _mail_attempt(refusals: list[Refusal]) -> Attempt:
    permanent = all(refusal.code >= 500 for refusal in refusals)
    return Attempt(Outcome.FAILED, "; ".join(map(str, refusals[:3])), permanent=permanent)


def _warnings_of(record: CallRecord) -> str:
    return " ".join(record.warnings[:2])
