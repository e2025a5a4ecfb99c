"""Intake: judges a webhook, holds it if it must, and plans the deliveries that it causes."""
