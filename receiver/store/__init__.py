"""Store: events, executions and deliveries in a database, and the contract about them."""
