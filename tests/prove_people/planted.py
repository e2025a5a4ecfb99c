"""Bugs in people's rules, each planted into a copy of the program: the proof has to find it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.support.planting import Bug, bug, planted

MOST = 600  # scenarios until a bug is found
CLOCK = "receiver/store/sql/clock.py"
MINUTE = "60 * 10**9"
SILENCES, QUIET = "receiver/store/sql/silences.py", "receiver/store/sql/quiet.py"
EPISODES, TOLD = "receiver/routing/episodes.py", "receiver/store/sql/episodes.py"
DEAD, RETRY, PLAN = (
    "receiver/dispatch/dead_letters.py", "receiver/dispatch/retry.py", "receiver/intake/plan.py"
)  # fmt: skip
DIFFERS = "only: "


def people(name: str, file: str, old: str, new: str, troubles: str) -> Bug:
    """Return a bug that shows among scenarios with these troubles."""
    return bug(name, file, old, new, f"--troubles {troubles}".strip(), DIFFERS)


BUGS = (
    people("retries wait longer", RETRY, "FIRST, LONGEST = 5.0", "FIRST, LONGEST = 9.0", "outages"),
    people(
        "no try at the end of retry_for", RETRY, "due_at = min(due_at, last)  #", "pass  #",
        "outages",
    ),
    people(
        "Retry-After is not obeyed", RETRY, "return min(attempt.retry_after, LONGEST)",
        "return 0.0", "outages",
    ),
    people(
        "the first fall-back is left out", DEAD, "for name in fallback),\n        *(",
        "for name in fallback[1:]),\n        *(", "outages",
    ),
    people(
        "who may have been told hears no end", TOLD, "({0}.state = 'sent' OR {0}.repeat = 1)",
        "({0}.state = 'sent')", "outages",
    ),
    people(
        "quiet hours that a reload ends hold on", QUIET,
        '{"to": now, "key": None} if end is None', '{"to": now + 60, "key": None} if not end',
        "quiet reloads",
    ),
    people(
        "urgent messages wait for the morning", "receiver/routing/policy.py",
        "None if route.urgent else other.quiet_until", "other.quiet_until", "quiet",
    ),
    people(
        "the first silence to end lists it", SILENCES, "(False, True) if lasting else (False,)",
        "(False,)", "silences",
    ),
    people(
        "what gathers is not silenced", SILENCES,
        "_keep_back(db, lasting if is_handing_over else [ended],",
        "_keep_back(db, lasting if is_handing_over else [],",
        "silences groups",
    ),
    people(
        "a silence lists what is old", SILENCES,
        'f"e.seq DESC, CASE', 'f"e.seq, CASE',
        "silences",
    ),
    people(
        "reminders come later after a reload", EPISODES, "planned_at = since + remind.every",
        f"planned_at = since + remind.every + {MINUTE}", "reloads",
    ),
    people(
        "escalations come later after a reload", EPISODES, "episode.begun_at + escalation.after,",
        f"episode.begun_at + escalation.after + {MINUTE},", "reloads",
    ),
    people(
        "reminders without a limit after a reload", EPISODES, "step > remind.at_most:",
        "step > 99 * remind.at_most:", "reloads",
    ),
    people(
        "a new route tells of what is old", EPISODES,
        "each.kind is Kind.ESCALATION) and each.route == route.name",
        "each.kind is Kind.ESCALATION)", "reloads",
    ),
    people(
        "our own downtime counts as silence", "receiver/dispatch/presence.py",
        "return heard.served_at if is_absence else None", "return None if is_absence else None",
        "stuck restarts",
    ),
    people(
        "escalations come late", PLAN, "due_in=escalation.after,",
        f"due_in=escalation.after + {MINUTE},", "",
    ),
    people(
        "groups gather for nobody", PLAN,
        "gathers=group.wait if group else 0,\n        group_key=key if group",
        "gathers=0,\n        group_key=key if group", "groups",
    ),
    people(
        "stuck after another time", PLAN, "due_in=stuck.after,", f"due_in=stuck.after + {MINUTE},",
        "stuck",
    ),
    people(
        "what was told a day ahead is told again", CLOCK,
        "(SET_BACK_TOLD, SET_BACK_ESCALATED, SET_BACK_BEGUN,", "(SET_BACK_TOLD, SET_BACK_BEGUN,",
        "clock",
    ),
    people(
        "a destination that fails is not left in peace", RETRY, "if failures < PAUSE_AFTER:",
        "if failures < 9 * PAUSE_AFTER:", "outages",
    ),
    people(
        "a death while sending is forgotten", "receiver/store/sql/outbox.py",
        "begun_at = :now, repeat = 1, token", "begun_at = :now, repeat = repeat, token", "deaths",
    ),
    people(
        "a repeat does not say so", "receiver/messages/notice.py",
        'REPEAT = "Possible repeat: an earlier', 'REPEAT = "An earlier', "outages",
    ),
)  # fmt: skip


def found(bug: Bug, seed: int) -> bool:
    """Return whether the proof finds a bug in a copy of the program."""
    command = [sys.executable, "-m", "tests.prove_people", "--seed", str(seed), "--scenarios"]
    with planted(bug) as tree:
        done = subprocess.run(
            [*command, str(MOST), "--as-found", *bug.proof.split()],
            cwd=tree, capture_output=True, text=True, timeout=1_800, check=False,
        )  # fmt: skip
    return done.returncode == 1 and bug.says in done.stdout


def report(seed: int) -> Iterator[tuple[Bug, bool]]:
    """Yield each bug, and whether it is found."""
    for each in BUGS:
        yield each, found(each, seed)
