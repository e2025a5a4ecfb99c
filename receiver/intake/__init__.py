"""Intake: one webhook in: judge it, hold it, plan the deliveries that it causes."""
