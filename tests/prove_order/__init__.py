"""Proves that the receiver judges, heals and tells as its design says."""
