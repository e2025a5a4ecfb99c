"""Destinations: one message to one destination, and what came of it."""
