"""Proves that `explain` says what will happen."""
