"""Builders: make conditions, routes and sources from their parts of routes.yaml."""
