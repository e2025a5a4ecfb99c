"""Dispatch: sends due deliveries, one worker per destination."""
