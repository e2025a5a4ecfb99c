"""Apprise: the services that it speaks to, and the probes that see what happens in a call."""
