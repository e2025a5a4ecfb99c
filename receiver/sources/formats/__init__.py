"""Formats: the forms of a webhook's body, each read into an event."""
