"""Dispatch: due deliveries out, one worker per destination."""
