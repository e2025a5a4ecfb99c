"""Real sockets: what goes over the wire."""
