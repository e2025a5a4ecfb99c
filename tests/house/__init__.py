"""The house itself: architecture, README and reference, the example files."""
