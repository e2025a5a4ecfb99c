"""Dispatch: sends due deliveries, with one worker per destination."""
