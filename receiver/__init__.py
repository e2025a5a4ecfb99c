"""receiver: judges signed status webhooks about executions and tells the right people.

The hall, which everything else may import and which imports nothing but itself:

    errors.py      the error tree
    times.py       instants and lengths of time, read and written
    events.py      events, executions, verdicts
    lifecycle.py   the table of legal moves, and the judgement of an event
    drawing.py     that table as a diagram and as text
    audit.py       what people did, and from where
    links.py       the signed addresses at which people take what waits
    alarms.py      troubles with telling people
    deliveries.py  messages and deliveries
    contexts.py    the facts of a message
    retention.py   how long things are kept
    metrics.py     counts and measurements, from any floor
    logs.py        the format of the log

The rooms, each importing only from rooms above it:

    sources/       the senders: verifies their webhooks and reads events from them
    routing/       whom to tell, and when
    messages/      the texts that people read
    destinations/  one message to one destination
    config/        settings and routes.yaml, read strictly; the rules in force
    store/         events, executions and deliveries in a database, and the contract about them
    intake/        one webhook in: judge it, hold it, plan its deliveries
    dispatch/      due deliveries out
    web/           HTTP
    cli/           the command line

Intake and dispatch never import each other: the store is the only hand-over.
"""

__version__ = "0.1.0"
