"""Messages: what people read."""
