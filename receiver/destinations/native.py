"""Native addresses: what services hand out for their hooks, as URLs of Apprise. Pure.

Apprise itself takes many of them; here are those that it does not take and that say enough. Others
say what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

# The address without its query, and what becomes of it. `s` is "s" for https. A name in braces is
# a part of the address or an option of its query; the last names those that it must have.
_HOOK = r"(?P<host>[\w.-]+(?::[0-9]+)?)(?P<path>(?:/[\w.-]+)*)/hooks/"
_FORMS: tuple[tuple[str, str], ...] = (
    (_HOOK + r"(?P<id>[A-Za-z0-9]{17}|[a-f0-9]{24})/(?P<token>[A-Za-z0-9]{40,})",
     "rocket{s}://{id}/{token}@{host}{path}"),
    (_HOOK + r"(?P<token>[a-z0-9]{26})", "mmost{s}://{host}{path}/{token}"),
    (r"oapi\.dingtalk\.com/robot/send", "dingtalk://{access_token}/"),
    (r"(?:(?:canary|ptb)\.)?discord(?:app)?\.com/api(?:/v[0-9]+)?/webhooks/(?P<id>[0-9]+)"
     r"/(?P<token>[\w-]+)(?:/slack|/github)?", "discord://{id}/{token}/"),
    (r"maker\.ifttt\.com/trigger/(?P<event>[\w-]+)(?:/json)?/with/key/(?P<key>[\w-]+)",
     "ifttt://{key}@{event}/"),
    (r"open\.feishu\.cn/open-apis/bot/v2/hook/(?P<token>[\w-]+)", "feishu://{token}/"),
    (r"api\.telegram\.org/bot(?P<token>[0-9]+:[\w-]+)/\w+", "tgram://{token}/{chat_id}/"),
    (r"events\.pagerduty\.com/integration/(?P<key>\w+)/enqueue", "pagerduty://{key}@{key}"),
    (r"events\.eu\.pagerduty\.com/integration/(?P<key>\w+)/enqueue",
     "pagerduty://{key}@{key}?region=eu"),
    (r"api\.flock\.com/hooks/sendMessage/(?P<token>[\w-]+)", "flock://{token}/"),
    (r"(?P<host>[\w.-]+(?::[0-9]+)?)(?P<path>(?:/[\w.-]+)*?)/webapi/entry\.cgi",
     "synology{s}://{host}/{token}{path}"),
    (r"api\.pagertree\.com/integration/(?P<id>int_[\w-]+)", "pagertree://{id}"),
    (r"connect\.signl4\.com/webhook/(?P<secret>[\w-]+)", "signl4://{secret}"),
    (r"api\.day\.app/(?P<key>\w+)", "barks://api.day.app/{key}"),
    (r"sctapi\.ftqq\.com/(?P<key>\w+)\.send", "schan://{key}"),
    (r"api\.chanify\.net/v1/sender/(?P<token>[\w.-]+)", "chanify://{token}"),
    (r"ntfy\.sh/(?P<topic>[\w-]+)", "ntfys://{topic}/?mode=cloud"),
    (r"(?P<host>[\w.-]+(?::[0-9]+)?)(?P<path>(?:/[\w.-]+)*)/message", "gotify{s}://{host}{path}/{token}"),
)  # fmt: skip
# (kind, option of the service) → its name in Apprise; empty: Apprise gives it by itself.
_RENAMED = {
    ("discord", "thread_id"): "thread", ("discord", "wait"): "",
    **{("synology{s}", name): "" for name in ("api", "method", "version")},
}  # fmt: skip
_TEAMS = (
    "Microsoft has ended this kind of hook: in Teams make a workflow “Post to a channel when a"
    " webhook request is received” and copy its address, https://….api.powerplatform.com/…"
)
# The host of an address that says too little, or is of no use any more → what to write.
_ADVICE: tuple[tuple[str, str], ...] = (
    (r"outlook\.office(365)?\.com|[\w.-]+\.webhook\.office\.com", _TEAMS),
    (r"events(\.eu)?\.pagerduty\.com",
     "its key is not in it: write pagerduty://INTEGRATION-KEY@API-KEY (region=eu for Europe)"),
    (r"api(\.eu)?\.opsgenie\.com",
     "its key is not in it: write opsgenie://API-KEY (region=eu for Europe)"),
    (r"api\.flock\.com", "write flock://TOKEN"),
    (r"inbots\.zoom\.us",
     "its verification token is not in it: write zoom://WEBHOOK-ID/VERIFICATION-TOKEN"),
    (r"api\.atlassian\.com", "its key is not in it: write jira://API-KEY"),
    (r"api\.ilert\.com", "its key may not be in it: write ilert://INTEGRATION-KEY"),
    (r"api\.telegram\.org", "write tgram://BOT-TOKEN/CHAT-ID"),
    (r"oapi\.dingtalk\.com", "write dingtalk://TOKEN, or dingtalk://SECRET@TOKEN if it signs"),
    (r"open\.feishu\.cn", "write feishu://TOKEN"),
    (r"api\.pushover\.net", "write pover://USER-KEY@APP-TOKEN"),
    (r"api\.pushbullet\.com", "write pbul://ACCESS-TOKEN"),
    (r"api\.line\.me", "write line://CHANNEL-ACCESS-TOKEN/USER-OR-GROUP-ID"),
    (r"notify-api\.line\.me",
     "LINE has ended it: make a channel of the Messaging API and write line://TOKEN/GROUP-ID"),
    (r"api\.incident\.io", "its token is not in it: write incidentio://SOURCE-ID/TOKEN"),
    (r"api(\.eu)?\.mailgun\.net",
     "write mailgun://SENDER@DOMAIN/API-KEY/TO (region=eu for Europe)"),
    (r"email\.[\w-]+\.amazonaws\.com", "write ses://FROM/ACCESS-KEY/SECRET-KEY/REGION/TO"),
    (r"api(\.eu)?\.sparkpost\.com",
     "write sparkpost://SENDER@DOMAIN/API-KEY/TO (region=eu for Europe)"),
    (r"api\.postmarkapp\.com", "write postmark://SERVER-TOKEN:FROM@DOMAIN/TO"),
    (r"api\.resend\.com", "write resend://API-KEY:FROM@DOMAIN/TO"),
    (r"api\.brevo\.com", "write brevo://API-KEY:FROM@DOMAIN/TO"),
    (r"api\.smtp2go\.com", "write smtp2go://SENDER@DOMAIN/API-KEY/TO"),
    (r"api\.twilio\.com", "write twilio://ACCOUNT-SID:AUTH-TOKEN@FROM-NUMBER/TO-NUMBER"),
    (r"[\w.-]+\.zulipchat\.com", "write zulip://BOT@ORGANISATION/API-KEY/STREAM"),
    (r"sns\.[\w-]+\.amazonaws\.com", "write sns://ACCESS-KEY/SECRET-KEY/REGION/TOPIC"),
    (r"api\.sendgrid\.com", "write sendgrid://API-KEY:FROM@DOMAIN/TO"),
    (r"graph\.microsoft\.com", "write azure://FROM/TENANT/CLIENT-ID/SECRET/TO"),
)  # fmt: skip


def translated(url: str) -> str:
    """Return a native address as a URL of Apprise; the same text if it is none of those.

    An option that the form has no place for stays an option: whoever knows the kind judges it.
    """
    match = re.match(r"http(s?)://([^?#]+?)/*(?:\?([^#]*))?$", url.strip(), re.IGNORECASE)
    if match is None:
        return url
    options = dict(parse_qsl(match[3] or ""))
    if "token" in options:
        options["token"] = options["token"].strip('"')  # Synology's is in quotes
    for pattern, form in _FORMS:
        if (found := re.fullmatch(pattern, match[2], re.IGNORECASE)) is None:
            continue
        parts = {**options, **found.groupdict(), "s": match[1].lower()}
        if all(re.fullmatch(r"[\w.:/@-]*", value) for name, value in parts.items()
               if f"{{{name}}}" in form):  # fmt: skip
            try:
                return _with_options(form.format_map(parts), form, options)
            except KeyError:
                return url
    return url


def _with_options(url: str, form: str, options: Mapping[str, str]) -> str:
    """Return a URL with those options that its form has no place for."""
    kind = form.partition(":")[0]
    named = {_RENAMED.get((kind, name), name): options[name] for name in options
             if f"{{{name}}}" not in form}  # fmt: skip
    named.pop("", None)
    return f"{url}{'&' if '?' in url else '?'}{urlencode(named)}" if named else url


def advice(host: str) -> str:
    """Say what to write instead of an address of a known service; empty if it is not known."""
    for pattern, instead in _ADVICE:
        if re.fullmatch(pattern, host, re.IGNORECASE):
            return instead
    return ""
