"""Sources: the senders of webhooks, the proof of each webhook, and the reading of events."""
