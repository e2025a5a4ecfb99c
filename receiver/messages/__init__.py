"""Messages: the texts that people read."""
