"""Proves people's rules together, against a model that was written apart from the program."""
