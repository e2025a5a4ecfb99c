"""Apprise: sending to the services that it supports, and the probes that observe each call."""
