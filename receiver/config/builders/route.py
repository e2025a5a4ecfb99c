"""Route builder: makes routes from the content of routes.yaml, and finds impossible requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from receiver.alarms import AlarmKind
from receiver.config.builders.match import Problem, read_conditions
from receiver.config.problems import Place, near, shown
from receiver.config.schema import DestinationModel, FileModel, QuietModel, RouteModel
from receiver.config.variables import is_placeholder
from receiver.events import Category, Status, Verdict
from receiver.messages import notice
from receiver.routing.conditions import CONDITIONS, METADATA, Condition, Subject
from receiver.routing.contradictions import fits_nothing
from receiver.routing.quiet_hours import DAYS, QuietHours, leave_no_time
from receiver.routing.routes import Escalation, Group, Reminders, Route, Stuck
from receiver.sources.formats.registry import FORMATS
from receiver.times import SECOND, span

GROUP_BY = ("agent", "status", "source", "reason", "outcome")
# The keys that need a stay of an execution in a status.
_OF_AN_EPISODE = ("remind", "escalate", "resolved", "acknowledged", "act")
_TEMPLATES = ("title", "body")
# The conditions of routes that report trouble with telling.
_REPORTS = ("dead_letter", "alarm")
_OF_A_SOURCE = (AlarmKind.SOURCE_QUIET, AlarmKind.SIGNATURES, AlarmKind.QUARANTINED)
_STAYS = [status.value for status in Status if status.category is not Category.TERMINAL]


def build_route(model: RouteModel, file: FileModel, line: int, problem: Problem) -> Route:
    """Make the route; `problem` gets each mistake in it, with its place."""
    for place, text in _unknown_destinations(model, list(file.destinations)):
        problem(place, text)
    for place, text in _template_problems(model):
        problem(place, text)
    conditions = read_conditions(
        model.match,
        {name: source.format for name, source in file.sources.items()},
        file.destinations,
        lambda place, text: problem(("match", *place), text),
    )
    route = _route(model, tuple(conditions), line)
    for place, text in _contradictions(route, model):
        problem(place, text)
    for text in _never_told(route, file.destinations):
        problem(("quiet",), text)
    return route


def _route(model: RouteModel, conditions: tuple[Condition, ...], line: int) -> Route:
    remind, group, stuck = model.remind, model.group, model.stuck
    return Route(
        name=model.name,
        conditions=conditions,
        notify=tuple(dict.fromkeys(model.notify)),
        title=model.title,
        body=model.body,
        stop=model.stop,
        line=line,
        remind=Reminders(_nanoseconds(remind.every), remind.at_most) if remind else None,
        escalate=tuple(
            Escalation(_nanoseconds(each.after), tuple(dict.fromkeys(each.notify)))
            for each in model.escalate
        ),
        resolved=model.resolved,
        acknowledged=model.acknowledged,
        act=model.act,
        group=Group(tuple(group.by), _nanoseconds(group.wait), _nanoseconds(group.every))
        if group
        else None,
        quiet=quiet_hours(model.quiet),
        urgent=model.urgent,
        stuck=Stuck(_staying(stuck.status), _nanoseconds(stuck.after)) if stuck else None,
    )


def quiet_hours(model: QuietModel | None) -> QuietHours | None:
    """Make the quiet hours of a route or a destination."""
    if model is None:
        return None
    days = frozenset(DAYS.index(day) for day in model.days)
    return QuietHours(days, model.begin, model.end, model.tz)


def late_warnings(model: DestinationModel) -> Iterator[str]:
    """Yield reasons why the `warn_after` of a destination is hardly meant."""
    warn_after = span(_nanoseconds(model.warn_after))
    if model.warn_after >= model.retry_for:
        yield (
            f"warn_after {warn_after} is not shorter than retry_for"
            f" {span(_nanoseconds(model.retry_for))}: its messages are given up before anybody is"
            " warned"
        )
    if model.warn_after < model.timeout:
        yield (
            f"warn_after {warn_after} is shorter than timeout {span(_nanoseconds(model.timeout))},"
            " which a single attempt may take"
        )


def surprises(route: Route, formats: Iterable[str]) -> Iterator[str]:
    """Yield settings that are possible but hardly meant; `formats` are those of the sources."""
    announced = {
        status
        for name in formats
        for statuses in FORMATS[name].ANNOUNCES.values()
        for status in statuses
    }
    for condition in route.conditions:
        for word in condition.patterns if condition.name == "status" else ():
            if word in set(Status) - announced:
                yield f"status: no event of your sources announces {word}"
    yield from _placeholders(route)
    for n, each in enumerate(route.escalate):
        if each in route.escalate[:n]:
            yield f"escalate: the same one stands there twice, after {span(each.after)}"
    if route.group is None:
        return
    if route.group.every < route.group.wait:
        yield (
            f"group: every {span(route.group.every)} is shorter than wait {span(route.group.wait)},"
            " for which each message waits anyway"
        )
    if route.remind is not None and route.remind.every < route.group.every:
        yield (
            f"remind: every {span(route.remind.every)} is shorter than every"
            f" {span(route.group.every)} of group: reminders come as seldom as its digests"
        )
    for part in _TEMPLATES:
        if getattr(route, part):
            yield f"{part}: digests are written without it, only a message that is alone has it"


def _placeholders(route: Route) -> Iterator[str]:
    for condition in route.conditions:
        for word in condition.patterns:
            if is_placeholder(word.removeprefix("!")):
                yield (
                    f"{condition.name}: {shown(word)} looks like a placeholder or has quotes in"
                    " quotes: write the value itself, or a pattern with * and ?"
                )


def _unknown_destinations(model: RouteModel, known: list[str]) -> Iterator[tuple[Place, str]]:
    """Yield problems for names without a destination, with their places."""
    places: list[tuple[Place, list[str]]] = [(("notify",), model.notify)]
    places += [(("escalate", n, "notify"), each.notify) for n, each in enumerate(model.escalate)]
    for place, names in places:
        for name in names:
            if name not in known:
                yield place, f"there is no destination {shown(name)}{near(name, known)}"


def _template_problems(model: RouteModel) -> Iterator[tuple[Place, str]]:
    for part in _TEMPLATES:
        template = getattr(model, part)
        if template and (problem := notice.check_template(template)):
            yield (part,), problem
        for name in _REPORTS:
            if template and getattr(model.match, name) is not None:
                yield (part,), f"{part}: a route with {name} writes its own"


def _contradictions(route: Route, model: RouteModel) -> Iterator[tuple[Place, str]]:
    """Yield problems for settings that exclude each other, with their places."""
    if model.match.alarm is not None:
        yield from _alarm_contradictions(route, model)
        return
    if model.match.dead_letter is not None:
        yield from _dead_letter_contradictions(model)
        return
    yield from _stuck_contradictions(route, model)
    yield from _episode_contradictions(route, model)
    for name in model.group.by if model.group else ():
        if name not in GROUP_BY and not (name.startswith(f"{METADATA}.") and len(name) > 9):
            hint = near(name, [*GROUP_BY, f"{METADATA}.KEY"])
            yield ("group", "by"), f"by: there is no {shown(name)}{hint}"
    if model.urgent and model.quiet is not None:
        yield ("urgent",), "urgent: this route has quiet hours of its own: remove one"


def _never_told(route: Route, destinations: Mapping[str, DestinationModel]) -> Iterator[str]:
    """Yield a problem for each destination that its quiet hours and the route's leave no time."""
    if route.quiet is None or route.urgent:
        return
    names = {*route.notify, *(name for later in route.escalate for name in later.notify)}
    edge = names & destinations.keys()
    while edge:  # a fall-back gets what the route asks for, too
        edge = {f for name in edge for f in destinations[name].fallback} & destinations.keys()
        edge -= names
        names |= edge
    for name in sorted(names & destinations.keys()):
        quiet = quiet_hours(destinations[name].quiet)
        if quiet is not None and leave_no_time((route.quiet, quiet)):
            yield (
                f"quiet: together with the quiet hours of {name} ({quiet}) this is always, or for"
                f" weeks: {name} would not be told; leave a time at which neither holds"
            )


def _dead_letter_contradictions(model: RouteModel) -> Iterator[tuple[Place, str]]:
    if model.match.verdict is not None:
        yield ("match",), "dead_letter goes without verdict: remove one"
    yield from _no_status(model, "dead_letter")


def _alarm_contradictions(route: Route, model: RouteModel) -> Iterator[tuple[Place, str]]:
    for name in CONDITIONS:
        if name not in ("alarm", "source") and getattr(model.match, name):
            yield ("match", name), f"alarm goes without {name}: an alarm is about no event"
    alarm = next(condition for condition in route.conditions if condition.name == "alarm")
    if any(fits_nothing(pattern, [*AlarmKind]) for pattern in alarm.patterns):
        pass  # an unknown word is told with the conditions
    elif not _alarms_of(alarm, AlarmKind):
        yield ("match", "alarm"), "alarm: its words exclude each other"
    elif model.match.source is not None and not _alarms_of(alarm, _OF_A_SOURCE):
        names = ", ".join(_OF_A_SOURCE)
        yield ("match", "source"), f"source: only these alarms are about one: {names}"
    if model.urgent and model.quiet is not None:
        yield ("urgent",), "urgent: this route has quiet hours of its own: remove one"
    yield from _no_status(model, "alarm")


def _alarms_of(alarm: Condition, kinds: Iterable[AlarmKind]) -> list[AlarmKind]:
    """Return those of the kinds that a condition lets pass."""
    return [k for k in kinds if not alarm.why_not(Subject("", Verdict.APPLIED, alarm=k.value))]


def _no_status(model: RouteModel, condition: str) -> Iterator[tuple[Place, str]]:
    for name in (*_OF_AN_EPISODE, "group", "stuck"):
        if getattr(model, name):
            yield (name,), f"{name}: a route with {condition} is about no status: remove one"


def _episode_contradictions(route: Route, model: RouteModel) -> Iterator[tuple[Place, str]]:
    verdicts = [c for c in route.conditions if c.name == "verdict"]
    applied = not any(c.why_not(Subject("", Verdict.APPLIED)) for c in verdicts)
    for name in _OF_AN_EPISODE:
        if not getattr(model, name):
            continue
        if not applied:
            yield (name,), f"{name}: only an applied event begins a stay in a status: see `verdict`"
        elif not route.statuses():
            yield (
                (name,),
                f"{name}: this route is about statuses that end an execution: nothing comes after"
                " them",
            )


def _stuck_contradictions(route: Route, model: RouteModel) -> Iterator[tuple[Place, str]]:
    if model.stuck is None:
        return
    for word in model.stuck.status:
        if word not in _STAYS:
            yield (
                ("stuck", "status"),
                f"status: nothing is stuck in {shown(word)}{near(word, _STAYS)}",
            )
    if model.match.verdict is not None:
        yield ("match", "verdict"), "stuck goes without verdict: remove one"
    if model.escalate:
        yield (
            ("escalate",),
            "escalate: with stuck, add a second route whose stuck.after is longer instead",
        )
    if model.stop:
        yield ("stop",), "stop: a route with stuck is not asked about events: remove it"
    statuses = _staying(model.stuck.status)
    if statuses and not set(statuses) & set(route.statuses()):
        yield ("match",), "match: its status and that of stuck exclude each other"


def _staying(words: list[str]) -> tuple[Status, ...]:
    """Return those of the named statuses in which an execution can stay."""
    return tuple(Status(word) for word in words if word in _STAYS)


def _nanoseconds(seconds: float) -> int:
    return int(seconds) * SECOND
