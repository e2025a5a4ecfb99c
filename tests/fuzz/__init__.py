"""Fuzzers over real HTTP."""
