"""The plan of the house, as data: rooms, who imports whom, owners of libraries, and exceptions."""

from __future__ import annotations

# The entrance hall: words, and the rules that everything obeys.
HALL = (
    "errors",
    "times",
    "events",
    "lifecycle",
    "drawing",
    "audit",
    "links",
    "alarms",
    "deliveries",
    "contexts",
    "retention",
    "metrics",
    "logs",
)

# A room, and what it may import besides itself: rooms or single modules.
ROOMS: dict[str, tuple[str, ...]] = {
    "hall": (),
    "sources": ("hall",),
    "routing": ("hall",),
    "messages": ("hall", "routing"),
    "destinations": ("hall", "routing.quiet_hours"),
    "config": ("hall", "sources", "routing", "messages", "destinations.destination"),
    "store": ("hall", "routing"),
    "intake": ("hall", "sources", "routing", "store", "config"),
    "dispatch": ("hall", "routing", "messages", "destinations", "store", "config"),
    "web": ("hall", "sources", "config", "store", "intake", "dispatch"),
    "cli": ("hall", "sources", "destinations", "config", "store", "intake", "dispatch", "web"),
}
# Modules that may import more than their room: by the beginning of their names.
MORE_IMPORTS = {
    # To explain a webhook is to show the messages that it would cause.
    "intake.explain": ("messages", "destinations.destination"),
    # Pages use the words, the clocks and the caution of messages.
    "web.pages": ("messages",),
    # The application hands on what sends: in this process, or in processes of its own.
    "web.app": ("destinations.sending",),
}

# Rooms that meet nowhere but in the store, not even through others.
APART = ("intake", "dispatch")
HAND_OVER = "store"

# Pure: time, chance and everything outside the program are arguments there.
PURE = ("hall", "sources", "routing", "messages")
IMPURE_LIBRARIES = frozenset({
    "asyncio", "http", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "shutil", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time",
    "urllib", "uuid",
})  # fmt: skip
IMPURE_CALLS = frozenset({"open", "print", "input", "now", "utcnow", "today", "time_ns"})
# (module, library or call) → why it may.
IMPURE_EXCEPTIONS = {
    ("logs", "*"): "the log's format: it writes",
    ("metrics", "threading"): "a lock: requests and senders count at the same time",
    ("sources.signing", "secrets"): "`receiver keygen` makes keys",
}

# An outside library, or one that only an owner may know, and the owners: rooms or modules.
OWNERS: dict[str, tuple[str, ...]] = {
    "anyio": ("web",),
    "apprise": ("destinations.apprise",),
    "click": ("cli",),
    "cryptography": ("sources",),
    "h11": ("web",),
    "httpx2": ("intake.reconcile.provider",),
    "httptools": ("web",),
    "jinja2": ("messages.templates", "web.pages"),
    "markdown": ("web.pages",),
    "markupsafe": ("web.pages",),
    "psycopg": ("store.postgres",),
    "pydantic": ("config",),
    "requests": ("destinations.apprise",),
    "sqlite3": ("store.sqlite",),
    "sqlite_utils": ("store.sqlite",),
    "starlette": ("web",),
    "urllib3": ("destinations.apprise",),
    "uvicorn": ("web",),
    "yaml": ("config.strict_yaml",),
}

# A folder of interchangeable parts, and the one module that others know them by.
REGISTRIES = {
    "destinations.apprise": "destinations.sending",
    "destinations.console": "destinations.sending",
    "sources.formats": "sources.formats.registry",
    "store.postgres": "store.opening",
    "store.sqlite": "store.opening",
}
# (module, part) → why it knows that part by itself.
REGISTRY_EXCEPTIONS = {
    ("cli.client", "sources.formats.asteroid"): "writes test webhooks with all of its fields",
    ("cli.demo", "sources.formats.asteroid"): "its script speaks as the provider does",
}

# A folder in a room counts as one module of the room. It may hold more than a room: the SQL is one
# text in some twenty parts.
MODULES_IN_A_ROOM = range(3, 13)
# Doors: the pages stand beside the API, the reference and large commands beside the others.
# And the contract of the store stands in parts, one of them for the spool.
# Intake asks providers in a folder of its own, beside the twelve that judge and explain.
MODULES_IN_LARGE_ROOMS = {
    "intake": range(3, 14), "store": range(3, 15), "web": range(3, 16), "cli": range(3, 17),
}  # fmt: skip
MODULES_IN_A_FOLDER = range(3, 26)
METHODS_OF_A_PROTOCOL = 12
MODULE_LINES, STORE_LINES, FUNCTION_LINES = 300, 350, 60
# So many modules may have a private name of the same spelling.
SAME_PRIVATE_NAME = 2
FORBIDDEN_NAMES = frozenset({
    "base", "common", "handler", "handlers", "helper", "helpers", "impl", "manager", "misc",
    "processor", "service", "services", "util", "utils",
})  # fmt: skip

# (module, function) → why it catches whatever comes.
BROAD_EXCEPTS = {
    ("cli.demo", "run"): "closes the store, and raises it again",
    ("destinations.apprise.adapter", "_notify"): "a plugin's mistake must not end the thread",
    ("destinations.apprise.checks", "rehearse"): "a plugin's mistake is what it looks for",
    ("destinations.apprise.plugin", "KnownPlugin.send"): "a plugin's mistake is a failed attempt",
    ("destinations.apprise.probes", "_probe_request"): "notes it, and raises it again",
    ("destinations.apprise.probes", "_read_body"): "the status is known, whatever the body does",
    ("destinations.deadline", "_CallThread.run"): "raised again where the call was asked for",
    ("destinations.deadline", "call_watched"): "ends the watch, and raises it again",
    ("destinations.sender.child", "serve"): "the receiver says why it does not start",
    ("destinations.sender.pool", "Senders.send"): "without an outcome its lease has to end",
    ("destinations.sending", "send"): "whatever a kind does not foresee is a failed attempt",
    (
        "dispatch.worker",
        "DestinationWorker._attempt_all",
    ): "what was sent before it is recorded all the same",
    ("dispatch.worker", "DestinationWorker._compose"): "a plain text goes out instead",
    ("dispatch.worker", "DestinationWorker._finished"): "what was sent is recorded all the same",
    ("dispatch.worker", "DestinationWorker._send_on"): "without this thread deliveries wait",
    ("messages.notice", "render"): "no alert is lost over a template: the default goes out",
    ("store.committer", "Committer._commit"): "finds the item of the batch that is to blame",
    ("store.committer", "Committer._do"): "rolls back, and raises it again",
    ("store.committer", "Committer._run"): "nobody may wait for a thread that has ended",
    ("store.sqlite.wal", "_Beside._run"): "whoever asked for the sync has to learn of it",
    (
        "store.periodic",
        "Periodic.safe_step",
    ): "without its threads people hear nothing",
    ("store.sqlite.schema", "migrate"): "rolls back, and raises it again",
    ("store.sqlite.store", "SqliteStore.__init__"): "frees the lock, and raises it again",
    ("web.webhooks.batch", "WebhookBatcher._take_all"): "hands it to the webhook it is about",
    ("web.webhooks.endpoint", "WebhookEndpoint.__call__"): "nobody above would answer",
}

# (module, what it imports inside a function) → why not at its top.
LATE_IMPORTS = {
    ("__main__", "receiver"): "the handlers of signals stand before anything else is imported",
    ("cli.listing", "receiver"): "writes JSON, or says why deliveries wait: most lists do not",
    ("cli.serve", "receiver"): "takes 250 ms, in which the process that sends starts, too",
    ("cli.setup", "receiver"): "reads the rules, which most lists do without",
    ("destinations.apprise.clients", "apprise"): "takes 160 ms, and most commands send nothing",
    ("destinations.apprise.clients", "receiver"): "imports requests, which comes with apprise",
    (
        "destinations.sender.__main__",
        "receiver",
    ): "the handlers of signals stand before anything else is imported",
    ("intake.reconcile.provider", "httpx2"): "takes 130 ms, and most commands ask nobody",
    ("store.opening", "receiver"): "PostgreSQL is an extra, and takes 60 ms",
    ("store.committer", "asyncio"): "takes 40 ms, and commands that only look await nothing",
    ("store.sqlite.schema", "sqlite_utils"): "takes 40 ms, and only an old store is migrated",
    ("web.server.server", "receiver"): "httptools is an extra",
}
# Modules that import others by a text → why.
IMPORTS_BY_TEXT = {
    "cli.main": "a command's module is imported when the command is named",
}

# How no function's docstring begins: they begin with a verb.
NO_VERBS = frozenset({
    "a", "all", "an", "any", "as", "at", "by", "each", "every", "everything", "for", "from", "how",
    "if", "in", "it", "its", "no", "nobody", "nothing", "of", "on", "one", "our", "somebody",
    "something", "that", "the", "their", "these", "they", "this", "those", "to", "what",
    "whatever", "when", "where", "whether", "which", "who", "whom", "whose", "why", "with",
    "without",
})  # fmt: skip
