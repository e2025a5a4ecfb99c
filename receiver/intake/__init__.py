"""Intake: takes one webhook in, judges it, and plans the deliveries that it causes."""
