"""The store's contract, kept by each engine."""
