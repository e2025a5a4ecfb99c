"""The shape of routes.yaml: every key it may hold, and what is said about a wrong one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from receiver.events import Status
from receiver.yaml_lines import Path

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(value: object) -> float:
    """Seconds of `90s`, `15m`, `2h`, `1d`; ValueError for anything else."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value), re.ASCII)
    if found is None or int(found[1]) == 0:
        raise ValueError("must be a duration like 90s, 15m, 2h or 1d")
    return float(int(found[1]) * UNITS[found[2]])


def _rate(value: object) -> float:
    found = re.fullmatch(r"([0-9]{1,6})/([smhd])", str(value), re.ASCII)
    if found is None or int(found[1]) == 0:
        raise ValueError("must be a rate like 1/s, 30/m or 5/h")
    return int(found[1]) / UNITS[found[2]]


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _observed(value: object) -> object:
    """The statuses that a source is subscribed to; None for all of them."""
    if value in ("all", ["all"]):
        return None
    words = [str(word) for word in value] if isinstance(value, list) else [str(value)]
    known = [status.value for status in Status]
    for word in words:
        if word not in known:
            raise ValueError(f"there is no status {word!r}{near(word, ['all', *known])}")
    if not words:
        raise ValueError("name the statuses whose events are sent, or all")
    return frozenset(map(Status, words))


def _every(value: object) -> object:
    return "*" if value is True else value


def _url_only(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Text = Annotated[str, BeforeValidator(lambda v: str(v) if type(v) in (int, float) else v)]
Texts = Annotated[list[Text], BeforeValidator(_listed)]
Duration = Annotated[float, BeforeValidator(duration)]


class SecretHeader(_Strict):
    """`secret_header`: a second proof; off when the value is empty."""

    name: str
    value: str


class KeyModel(_Strict):
    """One of `keys`: a text, or `{key, label}`."""

    key: Text
    label: str | None = None


def _key_only(value: object) -> object:
    return value if isinstance(value, dict) else {"key": value}


class Verify(_Strict):
    """`verify`: see signing.Verification."""

    scheme: Literal["rsa-sha256", "standard-webhooks", "hmac-sha256", "token"]
    keys: Annotated[
        list[Annotated[KeyModel, BeforeValidator(_key_only)]], BeforeValidator(_listed)
    ] = []
    secret_header: SecretHeader | None = None
    header: str = ""
    header_prefix: str = "webhook-"
    prefix: str = "sha256="
    encoding: str = "hex"
    signed: str = "{body}"
    timestamp_header: str = ""
    tolerance: Duration = 300.0
    layout: str = ""


class SourceModel(_Strict):
    """One of `sources`."""

    format: Literal["asteroid", "plain"] = "asteroid"
    verify: Verify
    agents: Texts = []
    observes: Annotated[frozenset[Status] | None, BeforeValidator(_observed)] = None
    gaps: Literal["reject", "apply"] = "reject"
    gap_timeout: Duration = 30.0
    rejected_status: Literal[200, 409] = 200
    rate: Annotated[float, BeforeValidator(_rate)] | None = None


class DestinationModel(_Strict):
    """One of `destinations`."""

    url: str
    rate: Annotated[float, BeforeValidator(_rate)] | None = None
    retry_for: Duration = 86_400.0
    timeout: Duration = 30.0
    parallel: int = Field(1, ge=1, le=32)
    fallback: Texts = []


class Match(_Strict):
    """`match`: every condition of a route."""

    source: Texts | None = None
    status: Texts | None = None
    category: Texts | None = None
    agent: Texts | None = None
    event: Texts | None = None
    outcome: Texts | None = None
    reason: Texts | None = None
    verdict: Texts | None = None
    dead_letter: Annotated[Texts, BeforeValidator(_every)] | None = None
    metadata: dict[str, Annotated[list[Text | bool], BeforeValidator(_listed)]] = {}


class RouteModel(_Strict):
    """One of `routes`."""

    name: str = Field(min_length=1, max_length=80)
    match: Match = Match()
    notify: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    title: str | None = None
    body: str | None = None
    stop: bool = False


class FileModel(_Strict):
    """routes.yaml."""

    sources: dict[str, SourceModel] = Field(min_length=1)
    destinations: dict[str, Annotated[DestinationModel, BeforeValidator(_url_only)]] = {}
    routes: list[RouteModel] = []


def explained(found: Mapping[str, Any], place: Path) -> str:
    """A validation error in plain words, without the value: it may be a secret."""
    name = place[-1] if place else "the file"
    if found["type"] == "extra_forbidden":
        return f"unknown key {name!r}{near(str(name), _known(place))}"
    if found["type"] == "missing":
        return f"{name!r} is missing"
    said = found["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name}: {said}"


def _known(place: Path) -> list[str]:
    """The keys that may stand where an unknown one stands."""
    models: list[tuple[int, str, type[BaseModel]]] = [
        (1, "", FileModel),
        (3, "sources", SourceModel),
        (4, "sources", Verify),
        (5, "sources", SecretHeader),
        (6, "sources", KeyModel),
        (3, "destinations", DestinationModel),
        (3, "routes", RouteModel),
        (4, "routes", Match),
    ]
    for depth, section, model in models:
        if len(place) == depth and section in ("", place[0]):
            return list(model.model_fields)
    return []


def near(word: str, known: list[str]) -> str:
    """A hint: the nearest known word, or all of them."""
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f": known are {', '.join(known)}" if known else ""
