"""receiver: judges signed status webhooks about executions and tells the right people.

The hall, which everything else may import and which imports nothing but itself:

    errors.py      the error tree
    times.py       instants and lengths of time, read and written
    events.py      events, executions, verdicts
    lifecycle.py   the table of legal moves, and the judgement of an event
    deliveries.py  messages and deliveries
    retention.py   how long things are kept
    metrics.py     counts and measurements, from any floor
    logs.py        the log's format

The rooms, each importing only from rooms above it:

    sources/       who sends: is a webhook genuine, and what does it say
    routing/       whom to tell, and when
    messages/      what people read
    destinations/  one message to one destination
    config/        settings and routes.yaml, read strictly; the rules in force
    store/         what is kept, and the promise about it
    intake/        one webhook in: judge it, hold it, plan its deliveries
    dispatch/      due deliveries out
    web/           HTTP
    cli/           the command line

Intake and dispatch never import each other: the store is the only hand-over.
"""

__version__ = "0.1.0"
