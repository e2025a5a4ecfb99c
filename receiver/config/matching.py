"""`match`, read from routes.yaml or from a silence: its conditions, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from receiver.config.schema import Match, near
from receiver.config.strict_yaml import Path
from receiver.events import Category, Status, Verdict
from receiver.routing.conditions import CONDITIONS, Condition

Problem = Callable[[Path, str], None]


def conditions(
    match: Match, sources: Iterable[str], destinations: Iterable[str], problem: Problem
) -> Iterator[Condition]:
    """The conditions; `problem` is told of each word that cannot be right, with its place."""
    words = {
        "source": list(sources),
        "status": [status.value for status in Status],
        "category": [category.value for category in Category],
        "verdict": [verdict.value for verdict in Verdict],
        "dead_letter": list(destinations),
    }
    for name in CONDITIONS[:-1]:
        patterns = getattr(match, name)
        if patterns is None:
            continue
        for pattern in patterns:
            word = pattern.removeprefix("!")
            if name in words and not re.search(r"[*?\[]", word) and word not in words[name]:
                hint = near(word, words[name])
                problem((name,), f"{name}: there is no {word!r}{hint}")
        yield Condition(name, tuple(patterns))
    for key, values in match.metadata.items():
        texts = [v if isinstance(v, str) else str(v).lower() for v in values]
        yield Condition(f"metadata.{key}", tuple(texts))
