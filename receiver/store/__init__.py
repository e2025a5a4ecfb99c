"""Store: what is kept, and the promise about it."""
