"""Pages for operators: rendered on the server; they work without JavaScript."""
