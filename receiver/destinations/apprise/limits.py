"""Limits: the room that a service gives a message, in the unit in which the service counts.

The plugin's object knows the limits of its service: `title_maxlen` (0: the title stands in the
text), `body_maxlen`, `body_max_line_count`. They hold for the text as it is sent: written in the
language of the service (`markup`), or converted and escaped as Apprise does it. They are counted in
UTF-16, as most services count: of the rest, none counts more for a letter. LIMITS has what a
service says besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from receiver.destinations.apprise.markup import form_of, markup_of
from receiver.destinations.apprise.vendors import name_of
from receiver.destinations.fitting import Room

# A plugin that takes so little text and no title speaks to phones, pagers and radios.
_FEW_CHARACTERS = 200
# The letters of an SMS (3GPP TS 23.038, default alphabet), and those that count twice.
_GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = set("^{}\\[~]|€")
# Two parts of an SMS: of these letters, and of any others.
_TWO_PARTS, _TWO_PARTS_UNICODE = 306, 134
# Signs of ours that would halve an SMS, and what says the same. A mention stays harmless.
_PLAIN_SIGNS = str.maketrans({
    "…": "...", "·": "-", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-",
    "×": "x", "→": "->", "`": "'", "\u00a0": " ", "＠": "(at)", "＜": "(", "］": ")", "（": "(",
    "［": "(", "｀": "'", "～": "~", "｜": "|", "＆": "&",
})  # fmt: skip


def utf_16(text: str) -> int:
    """Count the units of UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf_8(text: str) -> int:
    """Count the bytes of UTF-8."""
    return len(text.encode("utf-8", "replace"))


def sms(text: str) -> int:
    """Count the units of an SMS, as a share of two parts of it in which they are fewest."""
    if any(letter not in _GSM and letter not in _GSM_TWICE for letter in text):
        return -(-utf_16(text) * _TWO_PARTS // _TWO_PARTS_UNICODE)
    return len(text) + sum(letter in _GSM_TWICE for letter in text)


def weighted(text: str) -> int:
    """Count as Twitter does: letters beyond the Latin and similar alphabets count twice."""
    return sum(1 if ord(letter) < 0x1100 else 2 for letter in text)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit besides the plugin's own ones: of title and text, counted by `count`.

    `source` is the page that says it. `is_sms`: it goes to a phone in parts, which people pay for.
    `added`: the characters that the plugin itself puts before the text.
    """

    source: str
    text: int = 0
    count: Callable[[str], int] = utf_16
    title: int = 0
    is_sms: bool = False
    added: int = 0


def _sms(source: str) -> Limit:
    return Limit(source, is_sms=True)


_NO_SMS = ("dapnet", "aprs", "pushed", "kakaotalk")
# The module of the plugin → what its service says besides. Gateways for SMS that take long texts
# send them in as many parts as these need.
LIMITS: Mapping[str, Limit] = {
    "aprs": Limit("APRS Protocol Reference, chapter 14: 67 characters of ASCII", 67, utf_8),
    "cm": _sms("CM.com, Business Messaging API: up to 8 parts"),
    "dapnet": Limit("hampager.de, DAPNET API: 80 characters of ASCII", 80, utf_8),
    "eight00com": _sms("800.com, API: an SMS"),
    "exotel": _sms("developer.exotel.com, SMS: up to 2,000 characters in parts"),
    "fcm": Limit("firebase.google.com/docs/cloud-messaging: 4,096 bytes", 3_500, utf_8),
    "gorush": Limit("developer.apple.com, APNs: 4,096 bytes", 3_500, utf_8),
    "instagram": Limit("developers.facebook.com, Send API: 1,000 bytes", 1_000, utf_8),
    "irc": Limit("RFC 2812, 2.3: 512 bytes in a line, with its command", 380, utf_8),
    "jira": Limit("Jira Service Management, Alert API: a message of 130 characters", title=130),
    "kaleyra": _sms("developers.kaleyra.io, SMS: long messages in parts"),
    "mobilemessage": _sms("mobilemessage.com.au, API: an SMS in up to 10 parts"),
    "notifico": Limit("RFC 2812, 2.3, with the sign and the name before it", 450, utf_8, added=24),
    "ntfy": Limit("docs.ntfy.sh/publish: beyond 4,096 bytes it is a file", 4_096, utf_8),
    "octopush": _sms("dev.octopush.com: an SMS in parts"),
    "opsgenie": Limit("docs.opsgenie.com, Alert API: a message of 130 characters", title=130),
    "pushy": Limit("pushy.me/docs: 4 KB, in which the text stands twice", 1_800, utf_8),
    "slack": Limit("api.slack.com/reference/block-kit: a text of 3,000 characters", 3_000),
    "smpp": _sms("SMPP 3.4: an SMS in parts"),
    "smseagle": _sms("smseagle.eu, API: an SMS in parts"),
    "smstunnel": _sms("smstunnel.io, API: an SMS in parts"),
    "telesign": _sms("developer.telesign.com, SMS API: up to 1,600 characters in parts"),
    "threema": Limit("gateway.threema.ch, API: 3,500 bytes", 3_500, utf_8),
    "twitter": Limit("developer.x.com, Counting characters: 280, weighted", 280, weighted),
    "webexteams": Limit("developer.webex.com, Create a message: 7,439 bytes", 7_439, utf_8),
    "wechat": Limit("developer.work.weixin.qq.com 90236: 2,048 bytes", 2_048, utf_8),
    "wecombot": Limit("developer.work.weixin.qq.com 91770: 2,048 bytes", 2_048, utf_8),
}  # fmt: skip
_UNSAID = Limit("as the plugin says")


@dataclass(frozen=True, slots=True)
class Written:
    """A message as Apprise gets it: `form` is the format of `text`, None if nothing converts it."""

    title: str
    text: str
    form: Any


class Fitter:
    """Room and writing of one plugin. `apprise` is the library."""

    def __init__(self, plugin: Any, apprise: Any) -> None:
        self._plugin = plugin
        self._apprise = apprise
        self._form = form_of(plugin, apprise.NotifyFormat)
        self._markup = markup_of(plugin, self._form.value)
        self._limit = LIMITS.get(name_of(type(plugin)), _UNSAID)
        self._has_title = (plugin.title_maxlen or 0) > 0
        self._is_short = not self._has_title and (
            self._limit.is_sms or plugin.body_maxlen <= _FEW_CHARACTERS
        )
        self._is_sms = self._is_short and name_of(type(plugin)) not in _NO_SMS

    @property
    def room(self) -> Room:
        """The room of a message of the plugin."""
        return Room(self._fits, self._plugin.body_max_line_count, self._is_short)

    def written(self, title: str, text: str) -> Written:
        """Write a message in the language of its service."""
        written = self._written(title, text)
        # Apprise wants a text, and a title stands alone as one.
        return written if written.text else replace(written, title="", text=written.title)

    def _written(self, title: str, text: str) -> Written:
        if self._is_short:
            title, text = "", "\n".join(part for part in (title, text) if part)
            text = text.translate(_PLAIN_SIGNS)
        if self._markup is None:
            return Written(title, text, self._apprise.NotifyFormat.TEXT)
        form = self._form if self._form.value == "html" else None
        if self._has_title:
            return Written(title, self._markup.text(text), form)
        return Written("", self._markup.joined(title, text), form)

    def _fits(self, title: str, text: str) -> bool:
        plugin, limit = self._plugin, self._limit
        title, text = self._as_sent(self._written(title, text))
        most = [(utf_16(text), plugin.body_maxlen - limit.added)]
        if self._has_title:
            most.append((utf_16(title), min(plugin.title_maxlen, limit.title or 1_000_000)))
        if plugin.overflow_amalgamate_title and title:
            most.append((utf_16(f"{title}\r\n{text}"), plugin.body_maxlen))
        if limit.text:
            most.append((limit.count(text), limit.text))
        if self._is_sms:
            most.append((sms(text), _TWO_PARTS))
        lines = plugin.body_max_line_count
        return all(length <= room for length, room in most) and not (
            lines and text.count("\n") >= lines
        )

    def _as_sent(self, written: Written) -> tuple[str, str]:
        """Return title and text as the plugin gets them from Apprise."""
        title, text = written.title, written.text
        if written.form is None:
            return title, text
        if not self._has_title and title:
            title, text = "", f"{title}\r\n{text}"
        convert = self._apprise.conversion.convert_between
        text = convert(written.form, self._form, text)
        return title, self._plugin.dialect_convert(text, self._form)
