"""Settings: RECEIVER_* environment variables, read once, strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from receiver.config.problems import in_words, nearest, nearest_zone, printable
from receiver.config.variables import (
    Network,
    is_placeholder,
    is_service_link,
    is_unfilled,
    networks_of,
    read_file,
    slip_for,
    tidy,
)
from receiver.errors import ConfigurationError
from receiver.links import MIN_KEY
from receiver.retention import Retention, broken
from receiver.times import duration

PREFIX = "RECEIVER_"
FROM_FILES = ("api_token", "database_url", "link_key")


class Settings(BaseModel):
    """Settings of the environment. Each field's description stands in the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    database_url: str = Field(
        "sqlite:///receiver.db",
        repr=False,  # it may hold a password
        description="The database file, absolute with four slashes; or postgresql://…",
    )
    routes: str = Field("routes.yaml", description="Sources, destinations and routes.")
    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="The port to listen on.")
    fd: int | None = Field(None, ge=3, description="Instead of both: the number of a passed one.")
    api_token: SecretStr | None = Field(
        None, description="What API and pages ask for. Without it they answer this machine alone."
    )
    public_url: str | None = Field(
        None, description="Where others reach it: messages link there; pages, API want a token."
    )
    link_key: SecretStr | None = Field(
        None, description="What signs links in messages; of several, the first. Else: a kept key."
    )
    user_header: str | None = Field(
        None,
        pattern="^[A-Za-z0-9-]{1,100}$",
        description="The header in which a trusted proxy tells the pages who is signed in.",
    )
    trusted_proxies: str | None = Field(
        None, description="Addresses or networks of these proxies, such as `127.0.0.1,10.0.0.0/8`."
    )
    tz: str = Field(
        "UTC", description="The time zone in which messages give times, such as `Europe/Berlin`."
    )
    log_format: Literal["text", "json"] = Field("text", description="text or json.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )
    http: Literal["h11", "httptools"] = Field(
        "h11", description="The HTTP parser: h11 (strict), or httptools (faster, extra `fast`)."
    )
    max_body: int = Field(
        262_144, ge=1_024, le=16_777_216, description="The largest webhook body, in bytes."
    )
    body_timeout: float = Field(
        10.0, gt=0, le=60, description="Seconds in which a body has to come."
    )
    headers_timeout: float = Field(
        10.0, gt=0, le=60, description="Seconds in which the head of a request has to come."
    )
    keep_alive: float = Field(
        75.0,
        gt=0,
        le=3_600,
        description="Seconds an idle connection is kept: longer than the proxy in front keeps it.",
    )
    max_connections: int = Field(
        500, ge=1, le=100_000, description="Connections at a time; then 503."
    )
    rate: float = Field(
        10_000.0, gt=0, le=1_000_000, description="Proven webhooks of a source a second; then 429."
    )
    backlog: int = Field(
        2_000, ge=1, le=100_000, description="Webhooks waiting for their commit; then 503."
    )
    lease: float = Field(
        60.0, ge=5, le=3_600, description="Seconds a delivery is claimed (at least its timeout)."
    )
    drain: float = Field(
        15.0, ge=0, le=20, description="Seconds for what is being sent at the end."
    )
    senders: int = Field(1, ge=0, le=16, description="Processes that send; 0: this one sends.")
    spool_file: str = Field(
        "receiver-spool.db", description="Where webhooks wait for PostgreSQL (`spool: true`)."
    )
    spool_size: int = Field(
        67_108_864, ge=65_536, le=2**40, description="The most bytes of them; then 503."
    )
    keep_bodies: str = Field("30d", description="How long the raw body of a webhook is kept.")
    keep_event_ids: str = Field(
        "90d", description="How long an event that comes again is known; over 14 days."
    )
    keep_executions: str = Field(
        "90d", description="How long an execution is kept after its end, with all about it."
    )

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, url: str) -> str:
        """Accept a file on disk, or a database of PostgreSQL."""
        if url.startswith(("postgresql://", "postgres://")):
            return url
        if not url.startswith("sqlite:///") or len(url) == len("sqlite:///"):
            raise ValueError("must be sqlite:///FILE, sqlite:////ABSOLUTE/FILE or postgresql://…")
        if ":memory:" in url:
            raise ValueError("must be a file: what is in memory only does not survive a restart")
        return url

    @field_validator("tz")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        """Accept the name of a time zone."""
        try:
            ZoneInfo(name)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            # The name of a folder raises an OSError, a name outside the folder a ValueError.
            hint = nearest_zone(name)
            raise ValueError(f"there is no such time zone; the nearest is {hint}") from None
        return name

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        """Accept an address or a name, without a port."""
        if "/" in host or re.search(r"\s", host) or host.count(":") == 1 or host.endswith("]"):
            raise ValueError(
                "must be an address or a name alone, like 127.0.0.1 or ::1; the port is"
                " RECEIVER_PORT"
            )
        return host

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        """Accept an address of the web."""
        if url is not None and not re.match("https?://[^/]", url):
            raise ValueError("must be an address like https://hooks.example.org")
        return url

    @field_validator("link_key")
    @classmethod
    def _are_keys(cls, text: SecretStr | None) -> SecretStr | None:
        """Accept keys that nobody guesses."""
        words = text.get_secret_value().split() if text else []
        if any(len(word.encode()) < MIN_KEY for word in words):
            raise ValueError(f"each key must have {MIN_KEY} bytes or more")
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str | None, info: ValidationInfo) -> str | None:
        """Accept addresses and networks; a header that names users needs some."""
        if text is None and info.data.get("user_header") is not None:
            raise ValueError("must say which proxies may set RECEIVER_USER_HEADER, like 127.0.0.1")
        networks_of(text)
        return text

    @field_validator("keep_bodies", "keep_event_ids", "keep_executions")
    @classmethod
    def _is_a_duration(cls, text: str, info: ValidationInfo) -> str:
        """Accept a duration that fits those before it."""
        duration(text)
        # Each duration is checked against those before it.
        event_ids = info.data.get("keep_event_ids", text)
        if info.field_name != "keep_bodies" and (problem := broken(event_ids, text)):
            raise ValueError(problem)
        return text

    @property
    def retention(self) -> Retention:
        """Return how long the store keeps its rows."""
        return Retention(self.keep_bodies, self.keep_event_ids, self.keep_executions)

    @property
    def link_keys(self) -> tuple[bytes, ...]:
        """Return the keys of links that are set here, the one that signs first."""
        words = self.link_key.get_secret_value().split() if self.link_key else []
        return tuple(word.encode() for word in words)

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The addresses of trusted proxies."""
        return networks_of(self.trusted_proxies)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which messages give times."""
        return ZoneInfo(self.tz)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings of an environment; ConfigurationError with every problem.

    A problem shows the value of a setting if that can be no secret.
    """
    problems: list[str] = []
    values: dict[str, str] = {}
    for variable in _ours(environ):
        _take(variable, tidy(environ[variable]), values, problems)
    try:
        settings = Settings(**values)  # type: ignore[arg-type]  # texts: pydantic reads them
    except ValidationError as error:
        problems += [_described(dict(each)) for each in error.errors()]
    if problems:
        raise ConfigurationError(problems)
    return settings


def warnings(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield warnings about variables that look like settings and are none."""
    links = [variable for variable in sorted(environ) if is_service_link(variable, environ)]
    if links:
        more = f" and {len(links) - 1} more" if links[1:] else ""
        yield (
            f"warning: {links[0]}{more} come from Kubernetes, for a Service of that name, and are"
            " ignored: `enableServiceLinks: false` ends that"
        )
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    ours = set(_ours(environ))
    for wanted in sorted(settings - ours - {name.removesuffix("_FILE") for name in ours}):
        if hint := slip_for(wanted, environ, settings | ours | set(links)):
            yield f"warning: {hint}"


def _ours(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that are meant as settings."""
    return [
        variable
        for variable in sorted(environ)
        if variable.startswith(PREFIX) and not is_service_link(variable, environ)
    ]


def _take(variable: str, value: str, values: dict[str, str], problems: list[str]) -> None:
    """Add the value of one variable to `values`, or its problem to `problems`."""
    name = variable.removeprefix(PREFIX).lower()
    if value == "":
        return
    if name.endswith("_file") and name.removesuffix("_file") in FROM_FILES:
        name = name.removesuffix("_file")
        try:
            value = read_file(value)
        except (OSError, ValueError):
            problems.append(f"{variable}: the file cannot be read. Check its path and permissions.")
            return
        if not value:
            problems.append(f"{variable}: the file is empty. Write the value into it.")
            return
    if name not in Settings.model_fields:
        settings = [PREFIX + each.upper() for each in Settings.model_fields]
        hint = nearest(variable, settings)
        problems.append(f"{printable(variable)}: there is no such setting. Did you mean {hint}?")
    elif name in values:
        problems.append(f"{variable}: it is set twice, also as a file. Leave one out.")
    elif is_unfilled(value) or (name in FROM_FILES and is_placeholder(value)):
        problems.append(
            f"{variable}: it holds what looks like a variable, a placeholder or a text in quotes,"
            " and nothing fills it in. Set it to the value itself."
        )
    else:
        values[name] = value


def _described(error: Mapping[str, Any]) -> str:
    """Describe a setting that cannot be read, never with its value: that may be a secret."""
    name = str(error["loc"][0])
    variable = PREFIX + name.upper()
    default = Settings.model_fields[name].default
    example = f", like {variable}={default:g}" if isinstance(default, (int, float)) else ""
    return f"{variable}: {in_words(error)}{example}."
