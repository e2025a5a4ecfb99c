"""What could never be sent, or not as it is meant, is refused or said before anything is sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import apprise
import pytest

from receiver.destinations.apprise import clients
from receiver.destinations.apprise.incidents import SERVICES
from receiver.destinations.destination import Destination
from receiver.destinations.sending import leads_to, problems, warnings
from tests.support.plugins import ADDRESSES

SAYS_WHAT_TO_DO = re.compile(
    r"\b[Ww]rite |\badd |leave (it|a|out)|make a destination|: (give|take|see|copy|encode) "
    r"|did you mean|run pip|begin with|a port is"
)
HOOK = "d" * 63 + "1"
WEBEX = "NmQ0ZGM2ZjctYjZkNC00ZGM2LTk2YjctNGRjNmQ2YzVk"


def problem(url: str) -> str:
    found = problems(Destination("ops", url))
    assert "canary" not in "".join(found)
    return "".join(found)


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_plugin_with_a_whole_address_is_taken(name: str) -> None:
    assert problem(ADDRESSES[name]) == ""


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_documented_form_is_taken_or_refused_with_what_to_write(name: str) -> None:
    plugin = type(plugin_of(name))
    schemes = sorted(schemes_of(plugin))
    for form in plugin.templates:
        for value in ("canaryDEF0123", "+15551234567", "ann@example.org"):
            url = re.sub(r"\{(?!schema)\w+\}", value, form.replace("{port}", "8443"))
            found = problem(url.replace("{schema}", schemes[-1]))
            assert not found or SAYS_WHAT_TO_DO.search(found), found


@pytest.mark.parametrize(
    "url",
    [
        "ntfys://host?mode=private", "ntfys://canary.example.org", "ntfy://127.0.0.1:80",
        "ntfys://me:canary@host",
        "sns://AHIAJGNT76XIMXDBIJYA/bu1dHSdO22pfaaVy/wmNsdjfjoxgh/us-east-1",
        f"wxteams://{WEBEX}", "mmost://h/abcdefghijklmnopqrstuvwxyz?mode=bot",
        "matrix://me:canary@localhost", "tgram://123456789:canary_hijklmnop/",
        "goalert://localhost",
        "bulksms://me:canary@", "notifiarr://canary", "whatsapp://canary@12345",
        "signal://localhost:1/15551234567/canary", "irc://canary.example.org",
        "aprs://DF1ABC:12345@", "x://canary/canary/canary/canary/a%20b", "matrixs://me:canary@host?mode=off",
    ],
)  # fmt: skip
def test_an_address_without_anybody_to_send_to_is_refused(url: str) -> None:
    assert problem(url)


@pytest.mark.parametrize(
    "url",
    [
        f"https://webhooks.t2bot.io/api/v1/matrix/hook/{HOOK}", f"matrixs://{HOOK}",
        f"matrix://{HOOK}/?mode=t2bot", "matrixs://me:token@host?mode=slack",
        "matrixs://me:token@host?mode=matrix", "matrixs://token@host?mode=hookshot",
    ],
)  # fmt: skip
def test_a_hook_of_matrix_needs_no_room_and_leads_into_its_own(url: str) -> None:
    assert problem(url) == ""


@pytest.mark.parametrize("option", ["retry=3", "retry=1&wait=1", "wait=9&Retry=60"])
@pytest.mark.parametrize(
    "url", ["jsons://host/", "mailtos://me:x@gmail.com", ADDRESSES["Pushover"]]
)
def test_an_option_for_repeats_is_refused_as_such(url: str, option: str) -> None:
    assert "leave out retry= and wait=" in problem(f"{url}?{option}")


def test_a_hook_of_matrix_with_a_room_or_without_a_token_is_refused() -> None:
    assert "leave the room out" in problem("matrixs://me:canary@host/!room:host?mode=slack")
    assert "leave the room out" in problem("matrixs://me:canary@host/%23a/%23b?mode=matrix")
    assert "leave the room out" in problem("matrixs://host/canary?mode=hookshot")
    assert "write matrixs://TOKEN@HOST?mode=hookshot" in problem("matrixs://host?mode=hookshot")


def test_the_usual_channel_of_a_feed_is_said() -> None:
    url = "trigvs://trgv_hovCJQX4_bipwDKRY5cjqxELSZ6dkryFMT07elszG"
    assert "messages go to #general" in "".join(warnings(Destination("ops", url)))


def test_the_url_that_apprise_itself_writes_is_taken() -> None:
    pushover = f"{ADDRESSES['Pushover']}?priority=emergency&interval=60&expire=3600"
    for url in ("jsons://host/path", "ntfys://host/topic", pushover):
        written = str(clients.client(Destination("ops", url))[0].url())
        assert problem(written) == ""
        assert warnings(Destination("ops", re.sub("(rto|cto)=[0-9.]+", r"\1=4.0", written))) == []


def test_who_is_refused_for_it_learns_what_is_missing() -> None:
    assert "no room IDs to notify, aborting. Write wxteams://" in problem(f"wxteams://{WEBEX}")
    assert "names no topic" in problem("ntfys://canary.example.org")
    assert "names nobody to send to" in problem("sns://AHIAJGNT76XI/bu1dHSdO22/wmNs/us-east-1")
    assert "names no channel: add /%23CHANNEL" in problem("irc://canary.example.org")
    assert "names no chat" in problem("tgram://123456789:canary_hijklmnop/")
    assert "Integration ID … was specified" in problem("pagertree://canary")


def test_a_rehearsal_finds_what_http_cannot_carry() -> None:
    assert "a letter that HTTP cannot carry" in problem("json://%D0%B8%D0%BC%D1%8F:word@localhost/")


def test_every_plugin_whose_package_is_missing_names_it() -> None:
    clients.library()
    manager: Any = apprise.NotificationManager()  # type: ignore[no-untyped-call]
    checked = set()
    for plugin in manager.plugins(include_disabled=True):
        needs = plugin.requirements.get("packages_required")
        for scheme in schemes_of(plugin) - clients.LOCAL_KINDS:
            if not needs or problem(f"{scheme}://me:word@localhost/target") == "":
                continue
            package = re.split(r"[ >=]", str(needs))[0]
            if "pip install" in (found := problem(f"{scheme}://me:word@localhost/target")):
                assert package in found
                checked.add(scheme)
    assert {"mqtt", "mqtts", "xmpp", "xmpps", "smpp", "smpps", "growl"} <= checked
    assert "pip install pika" in problem("amqp://localhost/queue")


def schemes_of(plugin: Any) -> set[str]:
    kinds = (plugin.protocol or (), plugin.secure_protocol or ())
    return {str(name) for kind in kinds for name in ([kind] if isinstance(kind, str) else kind)}


@pytest.mark.parametrize("port", ["0", "65536", "99999", "70000000000"])
@pytest.mark.parametrize(
    "url",
    [
        "json://canary.example.org:{}/x", "mailtos://me:canary@canary.example.org:{}?to=a@b.org",
        "gotify://canary.example.org:{}/canary", "matrix://me:canary@h:{}/!r:h", "irc://h:{}/@ann",
    ],
)  # fmt: skip
def test_a_port_that_is_none_is_refused(url: str, port: str) -> None:
    assert "a port is a number from 1 to 65535" in problem(url.format(port))
    assert "port" not in problem(url.format(65_535))


def test_what_only_looks_like_a_port_is_none() -> None:
    assert problem("tgram://123456789:99999abcdefg_hijklmnop/12315544") == ""
    assert problem("fluxers://name@7418529630/HOVcjqx4BIPWdkry") == ""


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("json://host/?overflow=split", "would make several messages of one"),
        ("json://host/?Overflow=SPLIT", "would make several messages of one"),
        ("json://host/?format=md", "would let the text of an event act"),
        ("discord://4174216298/canary8qBe7bk2ZwO5U711o3dV?format=MARKDOWN", "text of an event"),
        ("json://host/?format=canary", "Apprise leaves a part of it out"),
        ("json://host/?overflow=canary", "Apprise leaves a part of it out"),
    ],
)
def test_an_option_that_would_change_messages_is_refused(url: str, says: str) -> None:
    assert says in problem(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("jsons://host?verify=no", "does not check who answers (verify=no)"),
        ("mailtos://me:canary@example.org?verify=false&to=a@b.org", "does not check who answers"),
        ("mailto://me:canary@example.org?to=a@b.org", "in the clear: use mailtos://"),
        ("json://me:canary@hook.example.org", "in the clear: use jsons://"),
        ("rocket://me:canary@chat.example.org/#ops", "in the clear: use rockets://"),
        ("gotify://push.example.org/canary", "may send its token in the clear: use gotifys://"),
        ("mmost://chat.example.org/canary", "may send its token in the clear: use mmosts://"),
        ("hassio://home.example.org/canary", "may send its token in the clear: use hassios://"),
        ("slack://xoxb-1234-1234-canary", "names no channel, so that its messages go to #general"),
        ("zulip://bot@org/canary0123456789abcdefghijklmnop", "its messages go to #general"),
        ("twilio://AC0123456789abcdef0123456789abcdef:canary@15551234567", "to its own sender"),
        ("vonage://canary12:canary12@15551234567", "to its own sender"),
        (
            "plivo://canary0123456789abcdefgh@canary0123456789abcdefghijklmnopqr/+15551234567",
            "add /TO-NUMBER",
        ),
        ("betterstack://canary", "opens an incident for each message"),
        ("spike://0123456789abcdef0123456789abcdef", "opens an incident for each message"),
        ("xmatters://canary@example/h", "opens an alert for each message"),
        ("pagerduty://canary@canary?dedup=one", "has dedup=, which is not used"),
        ("splunk://route@canary?action=info", "has action=, which is not used"),
        ("mailtos://apikey:canary@smtp.sendgrid.net", "its mails go to their sender"),
        ("mailtos://me:canary@example.org", "names no recipient"),
        ("mailtos://smtp.example.org?user=x&pass=canary", "names no recipient"),
        ("mailtos://mail.example.org?from=a@example.org", "names no recipient"),
        ("sendgrid://canary:me@example.org", "names no recipient"),
        ("resend://canary:me@example.org", "names no recipient"),
        ("brevo://canary:me@example.org", "names no recipient"),
        ("mailgun://me@example.org/canary", "names no recipient"),
        ("smtp2go://me@example.org/canary", "names no recipient"),
        ("sparkpost://me@example.org/canary", "names no recipient"),
        ("postmark://canary:me@example.org", "names no recipient"),
        ("mailersend://canary:me@example.org", "names no recipient"),
        ("ses://me@example.org/AKIACANARY/canary/us-east-1", "names no recipient"),
        ("azure://me@example.org/tenant/12345678-1234-1234-1234-123456789012/canary",
         "names no recipient"),
        ("twist://canary:me@example.org", "its messages go to #general"),
        ("x://canary/canary/canary/canary?mode=dm", "go to its own account"),
        ("jsons://host?rto=9", "has rto=, which is not used"),
        ("jsons://host?cto=9", "has cto=, which is not used"),
        ("jsons://host?wait=9", "has wait=, which is not used"),
        ("jsons://host?redirect=yes", "has redirect=, which is not used"),
        ("ntfys://canary", "a topic of the public server ntfy.sh"),
    ],
)  # fmt: skip
def test_a_setting_that_may_surprise_is_said(url: str, says: str) -> None:
    assert problem(url) == ""
    (found,) = warnings(Destination("ops", url))
    assert says in found
    assert "canary" not in found


@pytest.mark.parametrize(
    "url",
    [
        "mailto://me:word@gmail.com", "mailto://me:word@outlook.com",
        "mailtos://me:word@example.org?to=me@example.org", "mailtos://me:w@example.org/?bcc=a@b.org",
        ADDRESSES["Brevo"], ADDRESSES["SendGrid"], "jsons://host?redirect=no",
        "mailto://127.0.0.1?from=a@b.org&to=c@d.org", "json://me:word@127.0.0.1/",
        "json://host/?overflow=upstream&format=text", "jsons://host?verify=yes",
        "pagerduty://integration@key", "betterstack://token@in.logs.betterstack.com",
        "slack://xoxb-1234-1234-word/%23general", "gotify://127.0.0.1/token", "gotifys://host/token",
        "zulip://bot@org/a0X10123456789abcdefghijklmnopqr/general",
        "vonage://key:secret@15551234567/15557654321",
        "ntfys://topic/?mode=cloud", "ntfys://host/topic", "octopush://a@b.org/key/15551234567",
    ],
)  # fmt: skip
def test_what_is_as_it_should_be_needs_no_word(url: str) -> None:
    assert problem(url) == ""
    assert warnings(Destination("ops", url)) == []


MAILS = (
    "ACS", "Brevo", "Groundmail", "MailerSend", "Mailgun", "Office365", "Postmark", "Resend",
    "SendGrid", "SendPulse", "SES", "SMTP2Go", "SparkPost",
)  # fmt: skip


@pytest.mark.parametrize("name", MAILS)
def test_a_service_for_mail_is_shown_with_its_recipients_and_without_its_key(name: str) -> None:
    place = leads_to(Destination("ops", ADDRESSES[name]))
    assert re.match(r"e-mail to (ann|bob)@example\.org through \w", place)
    assert "value" not in place
    assert "HOV" not in place
    copied = leads_to(Destination("ops", f"{ADDRESSES[name]}?bcc=eve@example.org"))
    assert " and 1 in copy through " in copied or "bcc" not in plugin_of(name).template_args


def plugin_of(name: str) -> Any:
    return clients.client(Destination("ops", ADDRESSES[name]))[0]


@pytest.mark.parametrize(
    "url",
    [
        "pagerduty://integration@key", "victorops://route@key", " Opsgenie://key", "json://host",
        "console://", "spike://0123456789abcdef0123456789abcdef", "x",
        "https://events.pagerduty.com/integration/0123456789abcdef/enqueue",
        "https://api.pagertree.com/integration/int_0123456789",
        "https://connect.signl4.com/webhook/0123456789",
        "https://alert.victorops.com/integrations/generic/20131114/alert/"
        "12345678-1234-1234-1234-123456789abc/routing",
        "https://api.squadcast.com/v2/incidents/api/0123456789abcdef0123456789abcdef01234567",
        "https://signals.firehydrant.com/v1/process/0123456789",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    ],
)  # fmt: skip
def test_a_pager_is_known_as_one_by_its_url_as_by_its_plugin(url: str) -> None:
    destination = Destination("ops", url)
    client = None if url == "console://" else clients.client(destination)
    name = "" if client is None or isinstance(client, str) else type(client[0]).__name__
    assert destination.opens_incidents == (name in SERVICES)


def test_every_scheme_of_a_service_that_knows_incidents_is_a_pager() -> None:
    plugins = clients.library().NotificationManager().plugins()
    for plugin in plugins:
        for each in (plugin.protocol, plugin.secure_protocol):
            for scheme in [each] if isinstance(each, str) else each or ():
                is_pager = Destination("ops", f"{scheme}://x").opens_incidents
                assert is_pager == (plugin.__name__ in SERVICES), scheme


def test_a_service_that_is_spoken_to_as_another_one_is_needs_only_itself() -> None:
    url = ADDRESSES["Guilded"]  # whose plugin is made from that of Discord
    code = (
        "from receiver.destinations.destination import Destination as D\n"
        "from receiver.destinations.sending import problems\n"
        f"print(problems(D('ops', {url!r})), problems(D('ops', 'discord://{'4' * 18}/{'b' * 40}')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[] []\n", "")
