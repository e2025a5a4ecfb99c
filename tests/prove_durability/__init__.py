"""Proves that a 2xx means on disk."""
