"""Routing: the destinations to tell about an event, the times, and the silences."""
