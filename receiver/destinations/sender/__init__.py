"""A process of its own for Apprise: what it does, it does there, and a hang ends with it."""
