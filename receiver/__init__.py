"""receiver: judges signed status webhooks about executions and tells the right people."""

__version__ = "0.1.0"
