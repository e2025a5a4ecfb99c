"""Errors: every error of the receiver. Each message names the next step.

ReceiverError
├── ConfigurationError     settings or routes.yaml: `file:line: message`
├── UntrustedWebhook       401, whatever the cause; nothing is stored
├── TooManyWebhooks        429: more than the source may send
├── UnreadableWebhook      authentic, but not readable; kept in quarantine
│   ├── MalformedBody          400: not JSON
│   └── MalformedEnvelope      422: JSON, but not the source's envelope
├── NotRenamed             two names that cannot become one
└── StorageError
    ├── BackupFailed           no copy was made, and none is left
    ├── StorageRefused         the database is not one to start on
    │   ├── StorageServed          another process serves it
    │   └── StorageAway            its server cannot be reached now
    └── StorageUnavailable     503: it could not be committed; send it again
        ├── StorageLost            503: its server was lost, or is away
        ├── Overloaded             503: too much is waiting for its commit
        ├── StorageClosed          503: this process commits nothing any more
        └── Unstorable             503: the database refuses this, and takes others
"""

from __future__ import annotations


class ReceiverError(Exception):
    """A failed act; the text says what to do."""


class ConfigurationError(ReceiverError):
    """One or more mistakes in the settings or in routes.yaml.

    `problems` holds one line each, `file:line: message` where there is a file.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UntrustedWebhook(ReceiverError):
    """A webhook that is not proven to come from the source.

    `cause` is for the log and the counters, never for the answer: one of missing, repeated,
    malformed, wrong, expired, no_key, secret_header, agent.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"untrusted webhook: {cause}")
        self.cause = cause


class TooManyWebhooks(ReceiverError):
    """A webhook over its source's rate. The next may come after `wait` seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"More than this source's rate: send it again in {wait:.1f} s.")
        self.wait = wait


class UnreadableWebhook(ReceiverError):
    """An authentic webhook that cannot be read; quarantined as malformed."""


class MalformedBody(UnreadableWebhook):
    """A body that is not JSON as this receiver accepts it (400)."""


class MalformedEnvelope(UnreadableWebhook):
    """A body of JSON in which a required field is missing or mistyped (422)."""


class NotRenamed(ReceiverError):
    """A name that cannot be carried over, because the other one has the same already."""


class StorageError(ReceiverError):
    """A failure of the database."""


class BackupFailed(StorageError):
    """A copy that was not made; nothing of it is left."""


class StorageRefused(StorageError):
    """A database that is damaged, foreign, of a newer schema or in use; nothing was changed."""


class StorageServed(StorageRefused):
    """A database that another process serves."""


class StorageAway(StorageRefused):
    """A database that cannot be reached now; it may be there again at any moment."""


class StorageUnavailable(StorageError):
    """Work that was not committed, so it must be sent again."""


class StorageLost(StorageUnavailable):
    """Work that met a server that is away: any other work meets that, too, until it is back."""


class Overloaded(StorageUnavailable):
    """A full backlog: too much is waiting for its commit."""


class StorageClosed(StorageUnavailable):
    """A store that commits nothing any more: this process has closed it, or it failed for good."""


class Unstorable(StorageUnavailable):
    """Work that the database refuses for itself, while it takes other work."""
