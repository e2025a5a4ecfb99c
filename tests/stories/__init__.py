"""Walks over the real store with the time passed in."""
