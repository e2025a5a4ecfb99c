"""The endpoint that takes webhooks."""
