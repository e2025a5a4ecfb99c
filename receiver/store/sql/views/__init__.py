"""Views: executions, events and deliveries with the members that people see."""
