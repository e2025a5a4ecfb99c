"""Addresses as services hand them out: taken where they say enough, else said what to write."""

from __future__ import annotations

import pytest

from receiver.destinations.apprise.clients import client
from receiver.destinations.destination import Destination
from receiver.destinations.native import translated
from receiver.destinations.sending import leads_to, problems

MATTERMOST = "chat.example.org/hooks/abcdefghijklmnopqrstuvwxyz"
ROCKET = "hooks/5f1a2b3c4d5e6f7a8b9c0d1e/AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKl"
LOGIC = "/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0"


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (f"https://{MATTERMOST}", "Mattermost at chat.example.org"),
        (f"http://{MATTERMOST.replace('/hooks', ':8065/sub/hooks')}/",
         "Mattermost at chat.example.org"),
        (f"https://chat.example.org/{ROCKET}", "Rocket.Chat at chat.example.org"),
        (f"http://chat.example.org:3000/{ROCKET}", "Rocket.Chat at chat.example.org"),
        ("https://oapi.dingtalk.com/robot/send?access_token=abcdef0123456789",
         "DingTalk at oapi.dingtalk.com"),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/abc-def-012", "Feishu at open.feishu.cn"),
        ("https://api.telegram.org/bot123456789:abcdefg_hijklmnop/sendMessage?chat_id=-100123",
         "Telegram at api.telegram.org"),
        ("https://events.pagerduty.com/integration/abcdef0123456789abcdef0123456789/enqueue",
         "Pager Duty at events.pagerduty.com"),
        ("https://api.pagertree.com/integration/int_abcdefgh", "PagerTree at api.pagertree.com"),
        ("https://connect.signl4.com/webhook/abcdefgh", "SIGNL4 at connect.signl4.com"),
        ("https://ntfy.sh/topic", "ntfy at ntfy.sh"),
        ("https://push.example.org/message?token=AbcDef0123", "Gotify at push.example.org"),
        ("https://api.day.app/abcdefg", "Bark at api.day.app"),
        ("https://ptb.discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
         "Discord at ptb.discord.com"),
        ("https://discordapp.com/api/v9/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
         "Discord at discordapp.com"),
        ("https://maker.ifttt.com/trigger/receiver/with/key/abcdEFGH", "IFTTT at maker.ifttt.com"),
        ("https://ntfy.sh/topic?priority=high", "ntfy at ntfy.sh"),
        ("https://events.eu.pagerduty.com/integration/abcdef0123456789abcdef0123456789/enqueue",
         "Pager Duty at events.eu.pagerduty.com"),
        ("https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/slack",
         "Discord at discord.com"),
        ("https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/github?wait=true",
         "Discord at discord.com"),
        ("https://api.flock.com/hooks/sendMessage/134b8gh0-eba0-4fa9-ab9c-257ced0e8221",
         "Flock at api.flock.com"),
        ("https://nas.example.org:5001/webapi/entry.cgi?api=SYNO.Chat.External&method=incoming"
         "&version=2&token=%22abcDEF0123%22", "Synology Chat at nas.example.org"),
        ("https://inbots.zoom.us/incoming/hook/abcDEF-1?token=abcDEF01", "Zoom at inbots.zoom.us"),
        ("https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
         "Discord at discord.com"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
         "Slack (webhook …/T1…)"),
        ("https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t",
         "Google Chat at chat.googleapis.com"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/abcdef",
         "Lark (Feishu) at open.larksuite.com"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc-def",
         "WeCom Bot at qyapi.weixin.qq.com"),
        (f"https://prod-29.westus.logic.azure.com:443/workflows/643e69f83c{LOGIC}&sig=KODuebWb",
         "Power Automate / Workflows (for MSTeams) at prod-29.westus.logic.azure.com"),
    ],
)  # fmt: skip
def test_a_native_address_that_says_enough_is_taken(address: str, place: str) -> None:
    destination = Destination("ops", address)
    assert problems(destination) == []
    assert leads_to(destination) == place


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (f"https://{MATTERMOST}", "mmosts://chat.example.org/abcdefghijklmnopqrstuvwxyz"),
        ("https://api.telegram.org/bot1:a/sendMessage?chat_id=7", "tgram://1:a/7/"),
        ("https://ntfy.sh/topic?priority=high", "ntfys://topic/?mode=cloud&priority=high"),
        ("https://chat.example.org/hooks/abcdefghijklmnopqrstuvwxyz?channel=%23ops",
         "mmosts://chat.example.org/abcdefghijklmnopqrstuvwxyz?channel=%23ops"),
        ("https://canary.discord.com/api/v10/webhooks/417/JHM-_x?thread_id=9&wait=true",
         "discord://417/JHM-_x/?thread=9"),
        ("https://discord.com/api/webhooks/417/JHM?wait=true", "discord://417/JHM/"),
        ("https://maker.ifttt.com/trigger/agent/json/with/key/ab-1", "ifttt://ab-1@agent/"),
        ("https://events.eu.pagerduty.com/integration/ab01/enqueue",
         "pagerduty://ab01@ab01?region=eu"),
        ("http://nas:5000/chat/webapi/entry.cgi?api=SYNO.Chat.External&method=incoming&version=2"
         "&token=%22ab%22", "synology://nas:5000/ab/chat"),
        ("https://nas:5001/webapi/entry.cgi?api=SYNO.Chat.External", ""),
        # What could be read in another way, and what is none of them, stays.
        ("https://api.telegram.org/bot1:a/sendMessage?chat_id=7?x=1", ""),
        ("https://api.telegram.org/bot1:a/sendMessage?chat_id=a%23b", ""),
        ("https://oapi.dingtalk.com/robot/send", ""),
        ("https://hooks.example.org/hooks/short", ""), ("json://x/hooks/y", ""), ("", ""),
        ("https://user:word@chat.example.org/hooks/abcdefghijklmnopqrstuvwxyz", ""),
    ],
)  # fmt: skip
def test_an_address_is_translated_or_stays_as_it_is(address: str, url: str) -> None:
    assert translated(address) == (url or address)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://outlook.office.com/webhook/canary@x/IncomingWebhook/y/z", "make a workflow"),
        ("https://canary.webhook.office.com/webhookb2/canary", "make a workflow"),
        ("https://events.pagerduty.com/v2/enqueue", "pagerduty://INTEGRATION-KEY@API-KEY"),
        ("https://api.opsgenie.com/v2/alerts", "opsgenie://API-KEY"),
        ("https://api.telegram.org/bot1:canary/sendMessage", "tgram://BOT-TOKEN/CHAT-ID"),
        ("https://oapi.dingtalk.com/robot/send", "dingtalk://TOKEN"),
        ("https://hooks.slack.com/canary", "copy all of it"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/canary8qBe7bk2ZwO5U711?channel=x",
         "write the address as slack://…"),
        ("https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=t&spaces=canary",
         "an option of its service that Apprise would leave out"),
        ("https://api.telegram.org/bot1:canary/sendMessage?chat_id=7&parse_mode=HTML",
         "an option that Apprise does not know"),
        ("https://notify-api.line.me/api/notify", "write line://TOKEN/GROUP-ID"),
        ("https://api.pushbullet.com/v2/pushes", "write pbul://ACCESS-TOKEN"),
        ("https://api.eu.mailgun.net/v3/canary/messages", "write mailgun://SENDER@DOMAIN"),
        ("https://api.eu.opsgenie.com/v2/alerts", "region=eu for Europe"),
        ("https://inbots.zoom.us/incoming/hook/canary", "zoom://WEBHOOK-ID/VERIFICATION-TOKEN"),
        ("https://api.resend.com/emails", "write resend://API-KEY:FROM@DOMAIN/TO"),
        ("https://hooks.slack.com/services/<your-token>", "write the value in its place"),
        ("https://api.telegram.org/bot<token>/sendMessage?chat_id=1", "the value in its place"),
        ("tgram://{bot_token}/{chat_id}/", "the value in its place"),
        ("slack://<TokenA>/<TokenB>/<TokenC>", "the value in its place"),
        ("mailtos://me:canary@example.org?to=<recipient>", "the value in its place"),
        ("azure://tenant:me@example.org/12345678/canary/ops@example.org",
         "Write azure://SOURCE/TENANT/CLIENT-ID/SECRET/TARGET"),
        ("pagertree://canary", "Write pagertree://INTEGRATION"),
        ("gmail://me:canary@gmail.com", "called mailtos:// here"),
        ("webexteams://canary", "called wxteams:// here"),
        ("https://example.org/canary", "write jsons://"), ("http://example.org/", "write json://"),
        ("msteams://canary", "called workflows:// here"),
    ],
)  # fmt: skip
def test_an_address_that_says_too_little_says_what_to_write(address: str, says: str) -> None:
    (found,) = problems(Destination("ops", address))
    assert says in found
    assert "canary" not in found.replace("canary.webhook.office.com", "")


def test_a_thread_of_discord_is_written_to_and_not_the_channel_around_it() -> None:
    url = "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?thread_id=12345"
    made = client(Destination("ops", url))
    assert made[0].thread_id == "12345"
