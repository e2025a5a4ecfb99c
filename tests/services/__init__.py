"""The table of services: what each of thirty does with a message, seen through its real plugin."""
