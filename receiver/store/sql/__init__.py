"""SQL of the store: everything that it decides, once for every engine."""
