"""Schema: every key that routes.yaml may hold, and the form of its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from receiver.config.forms import (
    as_text,
    days_of,
    filled_in,
    listed,
    minutes_of_clock,
    observed_statuses,
    rate_of,
    true_is_any,
    url_alone,
    zone_of,
)
from receiver.config.strict_yaml import as_written, with_types
from receiver.events import Status
from receiver.routing.quiet_hours import DAYS, MIDNIGHT
from receiver.sources.access import Act
from receiver.sources.formats.registry import FORMATS
from receiver.sources.verification import SCHEMES
from receiver.times import duration

if TYPE_CHECKING:
    Day = str
    Format = str
    Scheme = str
    ActName = str
else:
    # The keys of registries: a file can ask for registered names only.
    Day, Format, Scheme, ActName = (
        Literal[tuple(words)] for words in (DAYS, FORMATS, SCHEMES, map(str, Act))
    )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _read_plain(cls, content: Any) -> Any:
        """Give each value without quotes the type that its key wants."""
        return with_types(content, cls)


Text = Annotated[str, BeforeValidator(as_text)]
Texts = Annotated[list[Text], BeforeValidator(listed)]
Duration = Annotated[float, BeforeValidator(duration)]
_FILLED_IN = BeforeValidator(filled_in)
Names = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]


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
        list[Annotated[KeyModel, BeforeValidator(_key_alone)]], BeforeValidator(listed)
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


class ApiModel(_Strict):
    """`api`: see access.ApiAccess. Without a key, nobody is asked."""

    base_url: Text = ""
    key: Text
    header: Text = ""
    timeout: Duration = 10.0
    rate: Annotated[float, BeforeValidator(rate_of)] = 1.0


class ReconcileModel(_Strict):
    """`reconcile`: see access.Reconciliation."""

    every: Duration = 60.0
    quiet_for: Duration = 600.0
    discover: Duration = 3600.0


class SourceModel(_Strict):
    """One of `sources`."""

    format: Format = "asteroid"
    verify: Verify
    agents: Texts = []
    observes: Annotated[frozenset[Status] | None, BeforeValidator(observed_statuses)] = None
    gaps: Literal["reject", "apply"] = "reject"
    gap_timeout: Duration = 30.0
    quiet_after: Annotated[Duration | None, _FILLED_IN] = None
    rejected_status: Literal[200, 409] = 200
    rate: Annotated[float, BeforeValidator(rate_of)] | None = None
    api: Annotated[ApiModel | None, _FILLED_IN] = None
    reconcile: Annotated[ReconcileModel | None, _FILLED_IN] = None
    act: Annotated[list[ActName], BeforeValidator(listed)] = []
    spool: bool = False


class QuietModel(_Strict):
    """`quiet`: see quiet_hours.QuietHours."""

    days: Annotated[list[Day], BeforeValidator(days_of)] = Field(list(DAYS), min_length=1)
    begin: Annotated[int, BeforeValidator(minutes_of_clock)] = Field(alias="from")
    end: Annotated[int, BeforeValidator(minutes_of_clock)] = Field(alias="to")
    tz: Annotated[ZoneInfo, BeforeValidator(zone_of)]

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
    rate: Annotated[float, BeforeValidator(rate_of)] | None = None
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
    dead_letter: Annotated[Texts, BeforeValidator(true_is_any)] | None = None
    alarm: Annotated[Texts, BeforeValidator(true_is_any)] | None = None
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

    by: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
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
        list[EscalationModel], BeforeValidator(listed), Field(min_length=1), _FILLED_IN
    ] = []
    resolved: bool = False
    acknowledged: bool = False
    act: bool = False
    group: Annotated[GroupModel | None, _FILLED_IN] = None
    quiet: Annotated[QuietModel | None, _FILLED_IN] = None
    urgent: bool = False
    stuck: Annotated[StuckModel | None, _FILLED_IN] = None


class FileModel(_Strict):
    """routes.yaml."""

    sources: dict[str, SourceModel] = Field(min_length=1)
    destinations: dict[str, Annotated[DestinationModel, BeforeValidator(url_alone)]] = {}
    routes: list[RouteModel] = []
