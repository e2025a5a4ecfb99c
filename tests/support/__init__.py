"""Shared parts of the tests: real servers, destinations, senders and walks."""
