"""The HTTP server under the application."""
