"""The schema accepts what the registries have: formats, schemes, conditions."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from receiver.config.problems import describe_error, keys_of
from receiver.config.schema import FileModel, Match
from receiver.routing.conditions import CONDITIONS
from receiver.sources.formats.registry import FORMATS
from receiver.sources.verification import SCHEMES


def problems(content: object) -> list[str]:
    try:
        FileModel.model_validate(content)
    except ValidationError as error:
        return [describe_error(dict(each), each["loc"], FileModel) for each in error.errors()]
    return []


def source(**more: Any) -> dict[str, object]:
    verify = {"scheme": "token", "header": "X-T", "keys": ["k"], **more.pop("verify", {})}
    return {"sources": {"asteroid": {"verify": verify, **more}}}


def test_every_condition_is_a_key_of_match_and_the_other_way_round() -> None:
    assert keys_of(Match) == list(CONDITIONS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_asked_for(name: str) -> None:
    assert problems(source(format=name)) == []


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_can_be_asked_for(name: str) -> None:
    assert problems(source(verify={"scheme": name})) == []


@pytest.mark.parametrize("word", ["Plain", 1, None, ["plain"]])
def test_another_format_is_a_problem_that_names_those_there_are(word: object) -> None:
    assert problems(source(format=word)) == ["format: must be 'asteroid' or 'plain'"]


def test_another_scheme_is_a_problem_that_names_those_there_are() -> None:
    assert problems(source(verify={"scheme": "rsa"})) == [
        "scheme: must be 'rsa-sha256', 'standard-webhooks', 'hmac-sha256' or 'token'"
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"source": {}, **source()}, "unknown key 'source': did you mean 'sources'?"),
        (source(fromat="plain"), "unknown key 'fromat': did you mean 'format'?"),
        (source(verify={"haeder": "X"}), "unknown key 'haeder': did you mean 'header'?"),
        (source(verify={"keys": [{"key": "k", "lable": "l"}]}),
         "unknown key 'lable': did you mean 'label'?"),
        (source(verify={"secret_header": "X-S"}),
         "secret_header: must be keys with values, like {name: …, value: …}"),
        ({**source(), "destinations": {"ops": {"url": "json://x", "quiet": {"form": "22:00"}}}},
         "unknown key 'form': did you mean 'from'?"),
        ({**source(), "routes": [{"name": "a", "notify": "ops", "match": {"stauts": "failed"}}]},
         "unknown key 'stauts': did you mean 'status'?"),
        ({**source(), "routes": ["a"]},
         "routes: must be keys with values, like {" + ", ".join(
             f"{key}: …" for key in ("name", "match", "notify", "title", "body", "stop", "remind",
                                     "escalate", "resolved", "acknowledged", "act", "group",
                                     "quiet", "urgent", "stuck")) + "}"),
        ({**source(), "routes": [{"name": "a", "notify": "ops", "escalate": [{"atfer": "1h"}]}]},
         "unknown key 'atfer': did you mean 'after'?"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_told_with_what_may_stand_there(content: object, says: str) -> None:
    assert says in problems(content)
