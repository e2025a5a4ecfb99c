"""Sources: who sends webhooks, whether a webhook is genuine, and what it says."""
