"""Destinations: one message to one destination, and its outcome."""
