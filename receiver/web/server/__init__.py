"""Server of the application: connections, their limits, start and end."""
