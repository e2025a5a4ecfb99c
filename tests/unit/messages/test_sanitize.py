"""Sanitizer: every service's way to mention people is without effect, and stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.messages.sanitize import clean, safe_link

# What a text may hold, and how it arrives. The services are those that would act on it.
MENTIONS = [
    ("Slack", "<!channel> <!here|x> <!subteam^S1> <@U1> <#C1>",
     "＜!channel> ＜!here|x> ＜!subteam^S1> <＠U1> ＜#C1>"),
    ("Discord", "@everyone @here <@1> <@!1> <@&1> x@everyone.com",
     "＠everyone ＠here <＠1> <＠!1> <＠&1> x＠everyone.com"),
    ("Mattermost", "@all -@bob .@bob 通知@bob @channel.",
     "＠all -＠bob .＠bob 通知＠bob ＠channel."),
    ("Mattermost, by references", "&#64;all &#064;channel &#x40;here &#X0040;bob &commat;all",
     "＆#64;all ＆#064;channel ＆#x40;here ＆#X0040;bob ＆commat;all"),
    ("HTML", "&lt;!channel&gt; &#60;at> &LT;at&GT; &#64channel",
     "＆lt;!channel＆gt; ＆#60;at> ＆LT;at＆GT; ＆#64channel"),
    ("HTML in HTML", "&amp;#64;all &amp;commat;all", "＆amp;#64;all ＆amp;commat;all"),
    ("Rocket.Chat", "@@all foo@bob", "＠＠all foo＠bob"),
    ("Zulip", "@**all** @_**Ann|1** @*team* @_*team*", "＠**all** ＠_**Ann|1** ＠*team* ＠_*team*"),
    ("Lark, Feishu", '<at user_id="all">all</at> < at id=all></at>',
     '＜at user_id="all">all＜/at> < at id=all>＜/at>'),
    ("Teams", "<at>Ann</at> <AT>a</AT>", "＜at>Ann＜/at> ＜AT>a＜/AT>"),
    ("Google Chat", "<users/all> <users/123>", "＜users/all> ＜users/123>"),
    ("Webex", '<@all> <@personEmail:a@b.c|Ann> <spark-mention data-object-type="groupMention"/>',
     '<＠all> <＠personEmail:a@b.c|Ann> ＜spark-mention data-object-type="groupMention"/>'),
    ("Matrix", "@room @ann:example.org", "＠room ＠ann:example.org"),
    ("Telegram", "@ann (@ann)", "＠ann (＠ann)"),
    ("DingTalk, WeCom", "@所有人 <@ann> @13800000000", "＠所有人 <＠ann> ＠13800000000"),
    ("KOOK", "(met)all(met) (MET)1(MET) (rol)1(rol)",
     "（met)all（met) （MET)1（MET) （rol)1（rol)"),
    ("OneBot", "[CQ:at,qq=all]", "［CQ:at,qq=all]"),
    ("Threema", "@[ECHOECHO] @[@@@@@@@@]", "＠[ECHOECHO] ＠[＠＠＠＠＠＠＠＠]"),
    ("Nextcloud Talk", '@"group/ops" @all', '＠"group/ops" ＠all'),
    ("Revolt", "<%01HROLE> <@01HUSER>", "＜%01HROLE> <＠01HUSER>"),
    ("Twist, HumHub", "[Ann](twist-mention://1) [Ann](mention:guid)",
     "[Ann］(twist-mention://1) [Ann］(mention:guid)"),
    ("Cliq", "{@participants} {@all}", "{＠participants} {＠all}"),
    ("Mastodon, Misskey", "@ann@example.org", "＠ann@example.org"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), [pytest.param(*m[1:], id=m[0]) for m in MENTIONS])
def test_a_mention_is_without_effect_and_readable(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(text, lines=True) == shown


def test_a_sign_of_which_a_mention_would_be_made_by_leaving_characters_out_is_found() -> None:
    assert clean("@\u200beveryone <\u202e!here> <\x00at>") == "＠everyone ＜!here> ＜at>"


def test_addresses_of_e_mails_and_lone_signs_stay() -> None:
    for text in ("R&D", "a && b; c", "?a=1&b=2", "AT&T, Q&A", "&;", "&#", "& #64;"):
        assert clean(text) == text
    for text in ("ann@example.org", "git@github.com:a/b", "3 @ 5 EUR", "a < b", "a <b> c (met) d["):
        assert clean(text) == text.replace("(met)", "（met)")


@pytest.mark.parametrize("sign", ["```", "~~~", "||"])
def test_nothing_that_is_left_open_takes_the_rest_of_a_message(sign: str) -> None:
    for text in (sign, sign * 3, f"{sign}js", f"a{sign}b"):
        assert sign not in clean(f"{text}\nhttps://x.example/", lines=True)
    assert clean("`receiver events` | ~~no~~ a|b") == "`receiver events` | ~~no~~ a|b"


@given(st.text("`~|@<[(]!#%&;64atCQ:met*_x .é所", max_size=40))
def test_what_was_cleaned_once_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)


def test_signs_that_format_or_mention_are_encoded_in_a_link() -> None:
    assert safe_link("https://x.example/(met)all(met)?q=[CQ:at]*#{a}") == (
        "https://x.example/%28met%29all%28met%29?q=%5BCQ:at%5D%2A#%7Ba%7D"
    )
    for link in ("https://[::1]:8080/a_b-c.d~e", "HTTPS://x.example/?a=1&b=2;c+%20"):
        assert safe_link(link) == link
    assert safe_link("https://x.example/" + "(" * 200) == ""
