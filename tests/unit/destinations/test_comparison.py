"""What Apprise makes of a URL is what stands in it, or it is a problem; and where it leads."""

from __future__ import annotations

import pytest

from receiver.destinations.destination import Destination
from receiver.destinations.sending import leads_to, problems

SMTP = "mailtos://me:canary@smtp.example.org?from=a@example.org&to="
HOOK = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"{SMTP}o'brien@example.org", "none of o'brien@example.org in its to=: take another"),
        (f"{SMTP}o%27brien@example.org", "none of o'brien@example.org in its to="),
        (f"{SMTP}b@example.org&cc=o'brien@example.org", "o'brien@example.org in its cc="),
        (f"{SMTP}b@example.org&bcc=d'or@example.org", "d'or@example.org in its bcc="),
        (f"{SMTP}b@example.org&reply=o'brien@example.org", "o'brien@example.org in its reply="),
        (f"{SMTP}team@example,org", "its to= has a part that is no address"),
        (f"{SMTP}team", "its to= has a part that is no address"),
        (f"{SMTP}team@bücher.example", "write team@xn--bcher-kva.example"),
        (f"{SMTP}b@example.org,t%C3%ABam@example.org", "its to= has a letter that is not ASCII"),
        (f"{SMTP}b@example.org&cc=t%C3%ABam+x@example.org", "its cc= has a letter"),
        (f"{SMTP}b@example.org&to=c@example.org", "to= more than once"),
        ("mailtos://me:canary@h.example.org?from=ä@example.org", "its from= has a letter"),
        ("mailtos://me:canary@h.example.org?from=o'b@example.org", "o'b@example.org in its from="),
        ("mailtos://me:canary@h.example.org/o'canary@example.org", "what stands in its path"),
        ("mailtos://me:canary@my_host?from=a@example.org", "its host is no name of a host"),
        (f"{SMTP}b@example.org&form=canary", "did you mean format= or from=?"),
        (f"{SMTP}b@example.org&canary=1", "does not know and would leave out"),
        ("json://example.org/?token=canary", "does not know and would leave out"),
        (f"slack://{HOOK}/?chanel=canary", "does not know and would leave out"),
        ("json://example.org/?:a=b&+c=d&-e=f&methd=put", "did you mean method=?"),
        ("twilio://AC123:canary@+15551234567/abcd", "Apprise leaves a part of it out"),
        ("ntfy://user:canary@localhost/!/", "Apprise leaves a part of it out"),
        (f"slack://bot@_/#canary?token={HOOK}/", "leaves out or changes a part of its path"),
        ("sendgrid://abcd:user@example.com/?to=o'brien@example.org", "in its to=: take another"),
        ("https://example.org/canary", "write jsons://"), ("slak://canary", "mean slack://?"),
        ("team@example.org", "an e-mail address alone"), ("#ops", "the name of a channel"),
        ("mailto://me:canary@canary@host", "@ as %40"),
    ],
)  # fmt: skip
def test_a_difference_is_a_problem_that_shows_no_secret(url: str, says: str) -> None:
    (found,) = problems(Destination("ops", url))
    assert says in found
    assert "canary" not in found


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"{SMTP}team@example.org", "e-mail to team@example.org through smtp.example.org"),
        (f"{SMTP}Team <team@example.org>", "e-mail to team@example.org through smtp.example.org"),
        (f"{SMTP}t+ops@example.org&cc=b@example.org,c@example.org",
         "e-mail to t+ops@example.org and 2 in copy through smtp.example.org"),
        (f"{SMTP}t%2Bops@xn--bcher-kva.example",
         "e-mail to t+ops@xn--bcher-kva.example through smtp.example.org"),
        ("mailtos://me:canary%3A%40%23%2F%3F%25@smtp.example.org",
         "e-mail to me@smtp.example.org through smtp.example.org"),
        ("mailtos://me%40example.org:canary@smtp.example.org:587?to=b@example.org&mode=ssl",
         "e-mail to b@example.org through smtp.example.org"),
        ("mailtos://_?user=me&pass=canary&smtp=h.example.org&from=a@example.org&to=b@example.org",
         "e-mail to b@example.org through h.example.org"),
        ("mailtos://me:canary@gmail.com", "e-mail to me@gmail.com through smtp.gmail.com"),
        (f"slack://{HOOK}", "Slack (webhook …/T1…)"),
        (f"slack://bot@{HOOK}/#ops", "Slack (webhook …/T1…) to #ops"),
        (f"https://hooks.slack.com/services/{HOOK}", "Slack (webhook …/T1…)"),
        ("slack://xoxb-1234-1234-canary/#ops", "Slack (bot) to #ops"),
        ("json://me:canary@example.org:8080/canary/b%20c?+X-Key=canary&-q=canary",
         "JSON at example.org:8080"),
        ("jsons://hook/canary", "JSON at hook"),
        ("discord://4174216298/canary8qBe7bk2ZwO5U711o3dV_js", "Discord (41…)"),
        ("https://discord.com/api/webhooks/4174216298/canary8qBe7bk2ZwO5U711o3dV_js",
         "Discord at discord.com"),
        ("tgram://123456789:canary_hijklmnop/12315544/", "Telegram (12…)"),
        ("gotify://127.0.0.1:80/path/canaryhijkLmno", "Gotify at 127.0.0.1:80"),
        ("ntfys://canary-topic", "ntfy (ca…)"),
        ("console://", "console: prints only"),
    ],
)  # fmt: skip
def test_what_apprise_takes_as_written_leads_to_a_place_without_secrets(
    url: str, place: str
) -> None:
    destination = Destination("ops", url)
    assert problems(destination) == []
    assert leads_to(destination) == place
    assert "canary" not in place


def test_a_destination_that_cannot_be_used_leads_nowhere_and_shows_nothing() -> None:
    assert leads_to(Destination("ops", "json://example.org/?canary=1")) == "json"
