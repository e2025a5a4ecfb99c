"""Schema: every key that routes.yaml may hold, and the form of its value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from receiver.config.problems import near, shown
from receiver.config.strict_yaml import as_text, as_written, with_types
from receiver.events import Status
from receiver.routing.quiet_hours import DAYS, MIDNIGHT
from receiver.sources.formats.registry import FORMATS
from receiver.sources.verification import SCHEMES
from receiver.times import UNITS, duration

if TYPE_CHECKING:
    Day = str
    Format = str
    Scheme = str
else:
    # The keys of registries: a file can ask for registered names only.
    Day, Format, Scheme = (Literal[tuple(words)] for words in (DAYS, FORMATS, SCHEMES))


def _rate(value: object) -> float:
    """Return the number a second of `30/m`."""
    match = re.fullmatch(r"([0-9]{1,6})/([smhd])", str(value), re.ASCII)
    if match is None or int(match[1]) == 0:
        raise ValueError("must be a rate like 1/s, 30/m or 5/h")
    return int(match[1]) / UNITS[match[2]]


def _clock(value: object) -> int:
    """Return the minutes since midnight of `22:30`; 24:00 is the end of the day."""
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", str(value), re.ASCII)
    if match is None:
        raise ValueError('must be a time of day like "22:30"')
    return int(match[1]) * 60 + int(match[2]) if match[1] else MIDNIGHT


def _days(value: object) -> object:
    """Return the days of a list, of one day or of `all`."""
    return list(DAYS) if value == "all" else _listed(value)


def _zone(value: object) -> ZoneInfo:
    """Return the time zone of a name like Europe/Berlin."""
    try:
        return ZoneInfo(str(value))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        # The name of a folder raises an OSError, a name outside the folder a ValueError.
        pass
    raise ValueError(f"there is no time zone {str(value)[:60]!r}: write it like Europe/Berlin")


def _listed(value: object) -> object:
    """Make a list of a value that may be written without one."""
    return value if isinstance(value, list) else [value]


def _observed(value: object) -> object:
    """Return the statuses to which a source is subscribed; None for all of them."""
    if value in ("all", ["all"]):
        return None
    words = [str(word) for word in value] if isinstance(value, list) else [str(value)]
    statuses = [status.value for status in Status]
    for word in words:
        if word not in statuses:
            raise ValueError(f"there is no status {shown(word)}{near(word, ['all', *statuses])}")
    if not words:
        raise ValueError("name the statuses whose events are sent, or all")
    return frozenset(map(Status, words))


def _true_is_any(value: object) -> object:
    """Read `true` as the pattern that fits everything."""
    return "*" if value is True or value in ("true", "True", "TRUE") else value


def _filled_in(value: object) -> object:
    """Refuse a key without a value, which YAML reads as null."""
    if value is None:
        raise ValueError("says nothing: fill it in, or leave it out")
    return value


def _url_alone(value: object) -> object:
    """Read a plain text as a destination's URL."""
    return {"url": value} if isinstance(value, str) else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _read_plain(cls, content: Any) -> Any:
        """Give each value without quotes the type that its key wants."""
        return with_types(content, cls)


Text = Annotated[str, BeforeValidator(as_text)]
Texts = Annotated[list[Text], BeforeValidator(_listed)]
Duration = Annotated[float, BeforeValidator(duration)]
_FILLED_IN = BeforeValidator(_filled_in)
Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]


class SecretHeader(_Strict):
    """`secret_header`: a second proof; off when the value is empty."""

    name: str
    value: str


class KeyModel(_Strict):
    """One of `keys`: a text, or `{key, label}`."""

    key: Text
    label: str | None = None


def _key_alone(value: object) -> object:
    """Read a plain text as a key without a label."""
    return value if isinstance(value, dict) else {"key": value}


class Verify(_Strict):
    """`verify`: see verification.Verification."""

    scheme: Scheme
    keys: Annotated[
        list[Annotated[KeyModel, BeforeValidator(_key_alone)]], BeforeValidator(_listed)
    ] = []
    secret_header: SecretHeader | None = None
    header: str = ""
    header_prefix: str = "webhook-"
    prefix: str = "sha256="
    encoding: str = "hex"
    signed: str = ""
    timestamp_header: str = ""
    tolerance: Duration = 300.0
    layout: str = ""


class SourceModel(_Strict):
    """One of `sources`."""

    format: Format = "asteroid"
    verify: Verify
    agents: Texts = []
    observes: Annotated[frozenset[Status] | None, BeforeValidator(_observed)] = None
    gaps: Literal["reject", "apply"] = "reject"
    gap_timeout: Duration = 30.0
    quiet_after: Annotated[Duration | None, _FILLED_IN] = None
    rejected_status: Literal[200, 409] = 200
    rate: Annotated[float, BeforeValidator(_rate)] | None = None
    spool: bool = False


class QuietModel(_Strict):
    """`quiet`: see quiet_hours.QuietHours."""

    days: Annotated[list[Day], BeforeValidator(_days)] = Field(list(DAYS), min_length=1)
    begin: Annotated[int, BeforeValidator(_clock)] = Field(alias="from")
    end: Annotated[int, BeforeValidator(_clock)] = Field(alias="to")
    tz: Annotated[ZoneInfo, BeforeValidator(_zone)]

    @model_validator(mode="after")
    def _ends(self) -> QuietModel:
        if self.begin == self.end:
            raise ValueError("from and to are the same time: a whole day is 00:00 to 24:00")
        if self.begin == 0 and self.end == MIDNIGHT and set(self.days) == set(DAYS):
            raise ValueError("this is always: nobody would ever be told")
        return self


class DestinationModel(_Strict):
    """One of `destinations`."""

    url: str
    rate: Annotated[float, BeforeValidator(_rate)] | None = None
    retry_for: Duration = 86_400.0
    timeout: Duration = 30.0
    warn_after: Duration = 600.0
    parallel: int = Field(1, ge=1, le=32)
    fallback: Texts = []
    quiet: Annotated[QuietModel | None, _FILLED_IN] = None


class Match(_Strict):
    """`match`: every condition of a route, by the names of conditions.CONDITIONS.

    Its values are patterns, and stay as they are written, `null` too.
    """

    source: Texts | None = None
    status: Texts | None = None
    category: Texts | None = None
    agent: Texts | None = None
    event: Texts | None = None
    outcome: Texts | None = None
    reason: Texts | None = None
    verdict: Texts | None = None
    dead_letter: Annotated[Texts, BeforeValidator(_true_is_any)] | None = None
    alarm: Annotated[Texts, BeforeValidator(_true_is_any)] | None = None
    metadata: dict[str, Annotated[Texts, Field(min_length=1)]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_plain(cls, content: Any) -> Any:
        """Keep the patterns as they are written."""
        return as_written(content)

    @field_validator("*", mode="before")
    @classmethod
    def _is_a_condition(cls, value: Any) -> Any:
        """Refuse a condition that says nothing, because it would hold for everything."""
        if value in (None, [], {}):
            raise ValueError("says nothing: fill it in, or leave it out")
        return value


class RemindModel(_Strict):
    """`remind`: see routes.Reminders."""

    every: Duration
    at_most: int | None = Field(None, ge=1, le=10_000)


class EscalationModel(_Strict):
    """One of `escalate`: see routes.Escalation."""

    after: Duration
    notify: Names


class GroupModel(_Strict):
    """`group`: see routes.Group."""

    by: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    wait: Duration = 30.0
    every: Duration = 300.0


class StuckModel(_Strict):
    """`stuck`: see routes.Stuck."""

    status: Annotated[Texts, Field(min_length=1)]
    after: Duration


class RouteModel(_Strict):
    """One of `routes`."""

    name: str = Field(min_length=1, max_length=80)
    match: Match = Match()
    notify: Names
    title: str | None = None
    body: str | None = None
    stop: bool = False
    remind: Annotated[RemindModel | None, _FILLED_IN] = None
    escalate: Annotated[
        list[EscalationModel], BeforeValidator(_listed), Field(min_length=1), _FILLED_IN
    ] = []
    resolved: bool = False
    acknowledged: bool = False
    group: Annotated[GroupModel | None, _FILLED_IN] = None
    quiet: Annotated[QuietModel | None, _FILLED_IN] = None
    urgent: bool = False
    stuck: Annotated[StuckModel | None, _FILLED_IN] = None


class FileModel(_Strict):
    """routes.yaml."""

    sources: dict[str, SourceModel] = Field(min_length=1)
    destinations: dict[str, Annotated[DestinationModel, BeforeValidator(_url_alone)]] = {}
    routes: list[RouteModel] = []
