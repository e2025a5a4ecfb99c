"""Proves that the state holds: in a storm, in a backup, and from older programs on."""
