"""What is decided about the store, once for every engine."""
