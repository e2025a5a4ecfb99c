"""Setup of a command that needs the store alone. It imports no rules, so it starts quickly."""

from __future__ import annotations

import os

from receiver.config.settings import load_settings
from receiver.store import opening
from receiver.store.contract import Store


def open_store() -> Store:
    """Open the store of a running or stopped server; StorageRefused if there is none."""
    return opening.open_existing(load_settings(os.environ).database_url)
