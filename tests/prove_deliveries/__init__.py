"""Proves that nothing owed is lost and nothing untrue is sent."""
