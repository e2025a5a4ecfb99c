"""Routing: whom to tell about an event, when, and what keeps a message back."""
