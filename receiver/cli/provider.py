"""Commands that ask the provider what is true, and act there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from receiver.audit import Actor, Door
from receiver.cli.configuration import load_configuration, source_named
from receiver.cli.operate import by_option, user_name
from receiver.cli.output import clean, json_option, print_json
from receiver.cli.setup import open_store
from receiver.config.rules import Rules
from receiver.dispatch.operators import signed
from receiver.errors import ReceiverError
from receiver.intake.reconcile import acting
from receiver.intake.reconcile.asker import Asked
from receiver.intake.reconcile.by_hand import Question, ask_all, ask_one, try_key
from receiver.intake.reconcile.provider import Outcome
from receiver.sources.access import Act
from receiver.sources.source import Source
from receiver.times import SECOND, format_time


@click.command()
@click.option("--execution", metavar="ID", help="Ask about this execution alone.")
@click.option("--source", help="Ask the provider of this source. Needed if several have an API.")
@json_option
def reconcile(execution: str | None, source: str | None, in_json: bool) -> None:
    """Ask the provider now about executions that have not ended, and store what it says.

    What is learnt is judged and told as a webhook would be; a running server sends the messages. It
    keeps to the rate of the source, however many executions there are.
    """
    _, rules = load_configuration(destinations=False)
    chosen = source_with_api(rules, source)
    failures = []
    with closing(open_store()) as store:
        if execution is not None:
            questions: Iterator[Question] = iter(
                [Question(execution, ask_one(store, rules, chosen, execution))]
            )
        else:
            questions = ask_all(store, rules, chosen)
        found = []
        for question in questions:
            found.append(_as_json(chosen, question))
            if not in_json:
                click.echo(_in_words(question))
            if question.asked.outcome is not Outcome.ANSWERED:
                failures.append(question)
    if in_json:
        print_json(found)
    elif not found:
        click.echo(f"Every execution of {chosen.name} has ended: there is nothing to ask.")
    if failures:
        raise ReceiverError(_what_failed(chosen, failures[-1].asked))


def source_with_api(rules: Rules, name: str | None) -> Source:
    """Return the source that is named, or the only one with an API; raise ReceiverError."""
    if name is not None:
        chosen = source_named(rules, name)
        if chosen.api is None:
            raise ReceiverError(
                f"{rules.path}:{chosen.line}: source {name} has no `api` with a key: see `receiver"
                " help reconcile`."
            )
        return chosen
    known = [source for source in rules.sources.values() if source.api is not None]
    if not known:
        raise ReceiverError(
            f"No source of {rules.path} has an `api` with a key: see `receiver help reconcile`."
        )
    if len(known) > 1:
        names = ", ".join(source.name for source in known)
        raise ReceiverError(f"--source: say which of {names}.")
    return known[0]


def silent_providers(rules: Rules) -> dict[str, str]:
    """Return the sources whose provider does not answer, each with what is wrong."""
    tried = {name: try_key(each) for name, each in rules.sources.items() if each.api is not None}
    return {name: problem for name, problem in tried.items() if problem}


def _in_words(question: Question) -> str:
    asked, name = question.asked, clean(question.execution_id) or "active executions"
    if asked.outcome is not Outcome.ANSWERED or asked.answer is None:
        return f"{name}: {asked.detail}"
    status = asked.answer.status
    if asked.detail:
        return f"{name}: {asked.detail}"
    if status is None:
        return f"{name}: {clean(asked.answer.word)}, which changes nothing"
    if not asked.events:
        return f"{name}: {status}, as is known" if _is_known(asked) else (
            f"{name}: the provider says {status}, which cannot follow on what is stored"
        )  # fmt: skip
    steps = [
        f"{entry.event.status} at {format_time((entry.event.occurred_at or 0) // SECOND * SECOND)}"
        f" ({entry.judgement.verdict})"
        for entry in asked.events
        if entry.event is not None
    ]
    return f"{name}: learnt {', '.join(steps)}"


def _is_known(asked: Asked) -> bool:
    answer, before = asked.answer, asked.before
    if answer is None or before is None:
        return True
    return answer.status is before.status or before.status.category == "paused"


def _as_json(source: Source, question: Question) -> dict[str, Any]:
    asked = question.asked
    return {
        "source": source.name,
        "execution_id": question.execution_id or None,
        "outcome": str(asked.outcome),
        "provider": asked.answer.word if asked.answer else None,
        "stored": str(asked.before.status) if asked.before else None,
        "learnt": [
            {
                "status": str(entry.event.status),
                "occurred_at": format_time(entry.event.occurred_at or 0),
                "verdict": str(entry.judgement.verdict),
                "reason": entry.judgement.reason,
            }
            for entry in asked.events
            if entry.event is not None
        ],
        "detail": asked.detail or None,
    }


def _what_failed(source: Source, asked: Asked) -> str:
    to_do = {
        Outcome.KEY_REFUSED: f"Set a valid `api.key` for source {source.name} in routes.yaml.",
        Outcome.NOT_FOUND: "Check the id, and whether the key is for the right organisation.",
        Outcome.BUSY: "Try again later.",
    }.get(asked.outcome, "Check `api.base_url` and the network, then try again.")
    return f"The provider of {source.name} was asked in vain: {asked.detail}. {to_do}"


@click.command()
@click.argument("what", metavar="ACT", type=click.Choice([*map(str, Act)]))
@click.argument("execution", metavar="ID")
@click.option("--source", help="The source of the execution. Needed if several have an API.")
@by_option
@click.option("--reason", default="", help="Why; the audit and the story show it.")
def act(what: str, execution: str, source: str | None, by: str, reason: str) -> None:
    """Resume, cancel or pause the execution ID at its provider: ACT is one of these words.

    The provider is asked first: what has ended or moved on is left alone, and you learn what is
    true. `act` on the source in routes.yaml lists what is allowed. Exit code 0 only if it is done.
    """
    _, rules = load_configuration(destinations=False)
    chosen = source_with_api(rules, source)
    known = signed(Actor(by, Door.COMMAND, user_name()), reason)
    if known is None:
        raise click.UsageError("--by: say who does it.")
    with closing(open_store()) as store:
        acted = acting.act(store, rules, chosen, acting.Wish(execution, Act(what), *known))
    if acted.came is not acting.Came.DONE:
        raise ReceiverError(acted.text)
    click.echo(clean(acted.text))


COMMANDS = (reconcile, act)
