"""SQLite: the engine for one file."""
