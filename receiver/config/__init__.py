"""Configuration: settings and routes.yaml, read strictly, and the rules in force."""
