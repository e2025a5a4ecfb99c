"""Destinations: one message to one destination, and the outcome of that attempt."""
