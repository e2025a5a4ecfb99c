"""Reconcile: asks the provider what is true where webhooks may be missing, and acts for people."""
