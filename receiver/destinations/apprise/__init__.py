"""Apprise: the services that it speaks to, and what really happened in a call."""
