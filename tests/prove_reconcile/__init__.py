"""Proof that asking the provider mends what lost webhooks leave wrong."""
