"""Web: HTTP for senders, people and their tools: webhooks, health, API, metrics."""
