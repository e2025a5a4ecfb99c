"""Server under the application: connections, their limits, start and end."""
