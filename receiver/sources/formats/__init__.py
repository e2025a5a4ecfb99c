"""Formats: how the body of a webhook becomes an event."""
