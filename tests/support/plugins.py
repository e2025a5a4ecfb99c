"""Every plugin of Apprise that sends by HTTP: an address that it takes, and a yes of its service.

The hosts, names and keys are made up. Where a plugin needs several requests, or its service another
answer than most, the answers stand in ANSWERS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import apprise

from tests.support.standin import Answer, Asked, saying

# Names of plugins (without Notify) and their addresses.
ADDRESSES: Mapping[str, str] = {
    "46Elks": "46elks://userword:passwordword@+15551234567/15551234567",
    "ACS": "acs://ann@example.org/YWJjZGVmZ2hpams=/notify.communication.azure.com/bob@example.org",
    "AfricasTalking": "atalk://HOV29G@HOV29G/15551234567",
    "AppriseAPI": "apprises://:passwordword@notify.example.org/HOV29G",
    "AWSWhatsApp": "awswhatsapp://AKIAIOSFODNN7EXAMPLE/secretaccesskeyvalueab/us-east-1/phone-number-id-abc123def/15551234567",
    "Bale": "bale://741852%3ANU18FM/42",
    "Bark": "barks://notify.example.org/@ann",
    "BetterStack": "betterstack://tokenvalueabcdef/ann",
    "BlueSky": "bsky://userword@passwordword",
    "Brevo": "brevo://hovCJQ:ann@example.org/ann@example.org",
    "BulkSMS": "bulksms://tokenidvalueabcdef:tokensecretvalueabcdef@ann",
    "BulkVS": "bulkvs://userword:passwordword@+15551234567/15551234567",
    "BurstSMS": "burstsms://hov29g:hov29g@senderidvalueabcdef/15551234567",
    "Chanify": "chanify://HOV29G",
    "Clickatell": "clickatell://+15551234567@apikeyvalueabcdef/15551234567",
    "ClickSend": "clicksend://userword:apikeyvalueabcdef@15551234567",
    "Cliq": "cliq://HOV29G.NU18FM.T07ELS.Z6DKRY.5CJQX4.BIPW3A.HOV29G/42",
    "CM": "cm://+15551234567@18f6d4b2-907e-5c3a-18f6-d4b2907e5c3a/15551234567",
    "D7Networks": "d7sms://tokenvalueabcdef@15551234567",
    "Dapnet": "dapnet://user:password@DF1ABC",
    "DingTalk": "dingtalk://hov29g@hov29g/15551234567/",
    "Discord": "discord://botnamevalueabcdef@webhookidvalueabcdef/webhooktokenvalueabcdef",
    "Dot": "dot://apikeyvalueabcdef@deviceidvalueabcdef/",
    "Eight00com": "eight00com://tokenvalueabcdef@+15551234567/15551234567",
    "Emby": "embys://userword:passwordword@notify.example.org",
    "Enigma2": "enigma2s://notify.example.org/fullpathvalueabcdef",
    "Evolution": "evolutions://apikeyvalueabcdef@notify.example.org/instancevalueabcdef/15551234567",
    "Exotel": "exotel://sidvalueabcdef:tokenvalueabcdef@+15551234567/15551234567",
    "FCM": "fcm://apikeyvalueabcdef/@ann",
    "Feishu": "feishu://HOV29G",
    "FireHydrant": "firehydrant://HOV29G",
    "Flock": "flock://hov29g/%23room",
    "Flowtriq": "flowtriqs://apikeyvalueabcdef@notify.example.org/pathvalueabcdef/",
    "Fluxer": "fluxers://botnamevalueabcdef@7418529630/HOVcjqx4BIPWdkry",
    "Form": "forms://userword:passwordword@notify.example.org",
    "FreeMobile": "freemobile://userword@passwordword",
    "GitHub": "github://hov29g@hov29g/hov29g/issues/2",
    "GoAlert": "goalerts://notify.example.org/1a2b3c4d-1a2b-1a2b-1a2b-1a2b3c4d5e6f",
    "GoogleChat": "gchat://workspacevalueabcdef/webhookkeyvalueabcdef/webhooktokenvalueabcdef/threadkeyvalueabcdef",
    "Gorush": "gorushs://notify.example.org/@ann",
    "Gotify": "gotifys://notify.example.org/tokenvalueabcdef",
    "Groundmail": "groundmail://HOV29G:ann@example.org/ann@example.org",
    "GroupMe": "groupme://botidvalueabcdef/tokenvalueabcdef",
    "Guilded": "guilded://botnamevalueabcdef@webhookidvalueabcdef/webhooktokenvalueabcdef",
    "Gupshup": "gupshup://appvalueabcdef:apikeyvalueabcdef@++15551234567/15551234567",
    "HomeAssistant": "hassios://userword:passwordword@notify.example.org/accesstokenvalueabcdef",
    "HttpSMS": "httpsms://apikeyvalueabcdef@+15551234567/15551234567",
    "HumHub": "humhubs://userword:passwordword@notify.example.org/15551234567",
    "IFTTT": "ifttt://webhookidvalueabcdef/@ann",
    "ILert": "ilert://HOV29G",
    "IncidentIO": "incidentio://15551234567/tokenvalueabcdef",
    "Infobip": "infobip://apikeyvalueabcdef@notify.example.org/15551234567",
    "Instagram": "instagram://hov29g/42",
    "Jellyfin": "jellyfins://userword:passwordword@notify.example.org",
    "Jira": "jira://apikeyvalueabcdef/ann",
    "Join": "join://hov29gnu18fmt07elsz6dkry5cjqx4bi/@ann",
    "JSON": "jsons://userword:passwordword@notify.example.org",
    "KakaoTalk": "kakaotalk://hov29g@hov29g/hov29g",
    "Kaleyra": "kaleyra://sidvalueabcdef:apikeyvalueabcdef@+15551234567/15551234567",
    "Kavenegar": "kavenegar://++15551234567@hov29g/15551234567",
    "Kook": "kook://tokenvalueabcdef/42",
    "Kumulos": "kumulos://7e5c3a18-f6d4-4b29-87e5-c3a18f6d4b29/HOV29GNU18FMT07ELSZ6DKRY5CJQX4BIPW3A",
    "Lametric": "lametrics://userword:apikeyvalueabcdef@notify.example.org",
    "Lark": "lark://hov29g",
    "Lauther": "lauther://lpt_hov29g",
    "LFGAlarm": "lfg://hov29gnu18fmt07elsz6dkry5cjqx4bi",
    "Line": "line://tokenvalueabcdef/@ann",
    "MailerSend": "mailersend://hovCJQ:ann@example.org/ann@example.org",
    "Mailgun": "mailgun://user@notify.example.org/apikeyvalueabcdef/bob@example.org",
    "Mastodon": "mastodons://tokenvalueabcdef@notify.example.org/ann",
    "Matrix": "matrixs://user:password@notify.example.org/!room:notify.example.org",
    "Mattermost": "mmosts://notify.example.org/fullpathvalueabcdef/tokenvalueabcdef",
    "MessageBird": "msgbird://hov29gnu18fmt07elsz6dkry5/++15551234567/15551234567",
    "Misskey": "misskeys://tokenvalueabcdef@notify.example.org",
    "MobileMessage": "mobilemessage://user:password@Receiver/61412345678",
    "MSG91": "msg91://hov29g@hov29g/15551234567",
    "Nextcloud": "nclouds://notify.example.org/42",
    "NextcloudTalk": "nctalks://notify.example.org/@ann?secret=secretvalueabcdef",
    "Notica": "noticas://userword@notify.example.org/aaaaaa",
    "Notifiarr": "notifiarr://apikeyvalueabcdef/42",
    "Notifico": "notificos://userword@notify.example.org/741852/hov29g",
    "NotifyApp": "notifyapp://hov29g/tokenvalueabcdef",
    "Notifyre": "notifyre://apikeyvalueabcdef/15551234567",
    "Ntfy": "ntfys://notify.example.org/room",
    "Octopush": "octopush://ann@example.org/apikeyvalueabcdef/15551234567",
    "Office365": "azure://ann@example.org/tenant/12345678-1234-1234-1234-123456789012/secretvalueabcdef/bob@example.org",
    "OneBot": "onebots://tokenvalueabcdef@notify.example.org/15551234567",
    "OneSignal": "onesignal://appvalueabcdef@apikeyvalueabcdef/@ann",
    "Opsgenie": "opsgenie://apikeyvalueabcdef/ann",
    "OpsiMate": "opsimates://apikeyvalueabcdef@notify.example.orgpathvalueabcdef",
    "PagerDuty": "pagerduty://integrationkeyvalueabcde@apikeyvalueabcdef/+15551234567/componentvalueabcdef",
    "PagerTree": "pagertree://int_abcdef12345",
    "ParsePlatform": "parseps://appidvalueabcdef:masterkeyvalueabcdef@notify.example.org",
    "Pinglet": "pinglets://tokenvalueabcdef@notify.example.org/namespacevalueabcdef/topicvalueabcdef",
    "Pingram": "pingram://pingram_sk_hb1c2d/15551234567",
    "Plivo": "plivo://hov29gnu18fmt07elsz6@hov29gnu18fmt07elsz6dkry5cjqx4/++15551234567/15551234567",
    "Postmark": "postmark://apikeyvalueabcdef:ann@example.org/ann@example.org",
    "Prowl": "prowl://HOVcjqx4BIPWdkry5CJQXelsz6DKRYfmt07ELSZg/HOVcjqx4BIPWdkry5CJQXelsz6DKRYfmt07ELSZg",
    "PushBullet": "pbul://accesstokenvalueabcdef/%23room",
    "PushDeer": "pushdeers://notify.example.org/hov29g",
    "Pushed": "pushed://appkeyvalueabcdef/appsecretvalueabcdef/@ann",
    "Pushjet": "pjets://userword:passwordword@notify.example.org/secretkeyvalueabcdef",
    "PushMe": "pushme://tokenvalueabcdef",
    "Pushover": "pover://userkeyvalueabcdef@tokenvalueabcdef/42",
    "Pushplus": "pushplus://hov29gnu18fmt07elsz6dkry5cjqx4bi/@ann",
    "PushSafer": "psafers://privatekeyvalueabcdef/%23room",
    "PushWard": "pushward://hlk_HOVcjq",
    "Pushy": "pushy://apikeyvalueabcdef/42",
    "QQ": "qq://hov29gnu18fmt07elsz6dkry",
    "Reddit": "reddit://userword:passwordword@hov29g/hov29g/@ann",
    "Resend": "resend://HOV29G:ann@example.org/ann@example.org",
    "Revolt": "revolt://bottokenvalueabcdef/42",
    "RingCentral": "ringc://15551234567:tokenvalueabcdef@hov29g/hov29g/15551234567",
    "RocketChat": "rockets://user:password@notify.example.org/%23room",
    "Ryver": "ryver://botnamevalueabcdef@HOV/HOV29GNU18FMT07",
    "SendGrid": "sendgrid://apikeyvalueabcdef:ann@example.org/bob@example.org",
    "SendPulse": "sendpulse://userword@notify.example.org/HOV29G/HOV29G/ann@example.org",
    "ServerChan": "schan://hov29g",
    "SerwerSMS": "serwersms://userword:passwordword@15551234567/15551234567",
    "SES": "ses://ann@example.org/accesskeyidvalueabcdef/secretaccesskeyvalueab/ho-vcjqxe-307418/ann@example.org",
    "SessionOGS": "sogs://1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a:2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b@notify.example.org/room",
    "Seven": "seven://apikeyvalueabcdef/15551234567",
    "SFR": "sfr://userword:passwordword@spaceidvalueabcdef/15551234567",
    "SignalAPI": "signals://userword@notify.example.org/15551234567",
    "Signalgrid": "signalgrid://clientkeyvalueabcdef/@ann",
    "SIGNL4": "signl4://secretvalueabcdef",
    "SimplePush": "spush://tokenvalueabcdef/%23room",
    "Sinch": "sinch://18f6d4:18f6d4@+15551234567/15551234567",
    "Slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "SMSC": "smsc://userword:passwordword@15551234567",
    "SMSEagle": "smseagles://tokenvalueabcdef@notify.example.org/42",
    "SMSManager": "smsmgr://apikeyvalueabcdef@15551234567",
    "SMSTunnel": "smstunnel://hov29g/15551234567",
    "SMTP2Go": "smtp2go://userword@notify.example.org/apikeyvalueabcdef/ann@example.org",
    "SNS": "sns://tokenvalueabcdef@accesskeyidvalueabcdef/secretaccesskeyvalueab/ho-vcjqxe-307418/15551234567",
    "SparkPost": "sparkpost://userword@notify.example.org/apikeyvalueabcdef/ann@example.org",
    "Spike": "spike://hov29gnu18fmt07elsz6dkry5cjqx4bi",
    "Splunk": "splunk://HOV29G@HOV29G/entityidvalueabcdef",
    "Spugpush": "spugpush://hovCJQX4bipwDKRY5cjqxELSZ6dkryFM",
    "Squadcast": "squadcast://HOV29G",
    "Stackfield": "stackfield://18f6d4b2-907e-5c3a-18f6-d4b2907e5c3a",
    "Streamlabs": "strmlabs://hov29gnu18fmt07elsz6dkry5cjqx4bipw3ahov2/",
    "Synology": "synologys://userword:passwordword@notify.example.org/tokenvalueabcdef",
    "TechulusPush": "push://7e5c3a18-f6d4-4b29-87e5-c3a18f6d4b29",
    "Telegram": "tgram://123456789:abcdefg_hijklmnop/12315544",
    "Telesign": "telesign://customeridvalueabcdef:apikeyvalueabcdef@15551234567",
    "Telnyx": "telnyx://apikeyvalueabcdef@+15551234567/15551234567",
    "Threema": "threema://*TESTGWY@secretword/15551234567",
    "Trigv": "trigvs://trgv_hovCJQX4_bipwDKRY5cjqxELSZ6dkryFMT07elszG/42",
    "Twilio": "twilio://AC18f6d4:hov29g@+15551234567/15551234567",
    "Twist": "twist://password:ann@example.org/23:42",
    "Twitter": "x://ckeyvalueabcdef/csecretvalueabcdef/akeyvalueabcdef/asecretvalueabcdef?mode=tweet",
    "Viber": "viber://tokenvalueabcdef/@ann",
    "Voipms": "voipms://passwordword:ann@example.org/+15551234567/15551234567",
    "Vonage": "vonage://hov29g:hov29g@+15551234567/15551234567",
    "WebexTeams": "wxteams://accesstokenvalueabcdef/%23room",
    "WeChat": "wechat://corpidvalue:corpsecretvalue@1000002/ann",
    "WeComBot": "wecombot://hov29g",
    "Whapi": "whapi://hov29g/ann@example.org",
    "WhatsApp": "whatsapp://tokenvalueabcdef@15551234567/15557654321",
    "Workflows": "workflow://notify.example.org/HOV29G/hov29g",
    "WPush": "wpush://WPUSHhov29gnu18fmt07elsz6dkry5cj/%23room",
    "WxPusher": "wxpusher://AT_hebifc/42",
    "XBMC": "kodis://userword:passwordword@notify.example.org",
    "XMatters": "xmatters://apikeyvalueabcdef@notify.example.org/h/ann",
    "XML": "xmls://userword:passwordword@notify.example.org",
    "YouLMK": "youlmk://ylk_hov29gnu18fmt07elsz6dkry5cjqx4bi",
    "Zalo": "zalo://741852%3ANU18FM/42",
    "Zoom": "zoom://webhookidvalueabcdef/tokenvalueabcdef",
    "Zulip": "zulip://bot@example/HOV29GNU18FMT07ELSZ6DKRY5CJQX4BI/general",
}  # fmt: skip

# A yes in the dialects of most services at once.
YES = {
    "ok": True, "success": True, "status": "success", "result": {"id": 1, "code": 200}, "code": 0,
    "errcode": 0, "access_token": "a-token-of-the-stand-in", "expires_in": 3600, "id": "1234",
    "token": "a-token-of-the-stand-in", "data": {"authToken": "a-token", "userId": "u1"},
}  # fmt: skip
# Of others: by a pattern of the request's address, the first that is found.
ANSWERS: Mapping[str, Mapping[str, Answer]] = {
    "AfricasTalking": {
        "": saying({"SMSMessageData": {"Recipients": [{"statusCode": 101, "status": "Success"}]}})
    },
    "Bark": {"": saying({"code": 200, "message": "success"})},
    "BlueSky": {
        "resolveHandle": saying({"did": "did:plc:1234"}),
        "did:plc": saying(
            {
                "service": [
                    {
                        "type": "AtprotoPersonalDataServer",
                        "serviceEndpoint": "https://pds.example.org",
                    }
                ]
            }
        ),
        "createSession": saying({"accessJwt": "a-token-1", "refreshJwt": "a-token-2"}),
        "": saying({"uri": "at://1", "cid": "1"}),
    },
    "Dapnet": {"": saying({}, 201)},
    "Emby": {
        "Authenticate": saying({"User": {"Id": "u1"}, "Id": "u1", "AccessToken": "a-token"}),
        "Sessions": saying([{"Id": "s1"}]),
        "": Answer(204),
    },
    "Jellyfin": {
        "Authenticate": saying({"User": {"Id": "u1"}, "Id": "u1", "AccessToken": "a-token"}),
        "Sessions": saying([{"Id": "s1"}]),
        "": Answer(204),
    },
    "Jira": {"": saying({"result": "Request will be processed", "requestId": "r1"}, 202)},
    "Kavenegar": {"": saying({"return": {"status": 200}, "entries": []})},
    "LFGAlarm": {"": saying({"fired": True})},
    "Matrix": {
        "well-known": Answer(404),
        "login": saying({"access_token": "a-token-1", "user_id": "@a:b", "home_server": "b"}),
        "/join": saying({"room_id": "!room:notify.example.org"}),
        "": saying({"event_id": "$1"}),
    },
    "MobileMessage": {
        "": saying({"status": "complete", "results": [{"to": "61412345678", "status": "success"}]})
    },
    "Octopush": {"": saying({"sms_ticket": "1"}, 201)},
    "OneBot": {"": saying({"status": "ok", "retcode": 0})},
    "Opsgenie": {"": saying({"result": "Request will be processed", "requestId": "r1"}, 202)},
    "PushMe": {"": saying("success")},
    "Pushover": {"": saying({"status": 1, "request": "r1"})},
    "Pushplus": {"": saying({"code": 200, "msg": "ok"})},
    "PushSafer": {"": saying({"status": 1, "success": "message transmitted"})},
    "Seven": {"": saying({"success": "100", "messages": [{"success": True}]})},
    "SimplePush": {"": saying({"status": "OK"})},
    "Slack": {"": saying("ok")},
    "SMSEagle": {"": saying({"result": {"status": "ok"}})},
    "Viber": {"": saying({"status": 0, "status_message": "ok"})},
    "Vonage": {"": saying({"message-count": "1", "messages": [{"status": "0"}]})},
    "Whapi": {"": saying({"sent": True})},
    "WxPusher": {"": saying({"code": 1000, "msg": "ok"})},
    "Zulip": {"": saying({"id": 42, "msg": "", "result": "success"})},
}


def every_plugin() -> list[type]:
    """List the classes of all plugins that Apprise ships."""
    manager: Any = apprise.NotificationManager
    return list(manager().plugins(include_disabled=True))


def yes_of(name: str, asked: Asked) -> Answer:
    """Return the answer with which the service of a plugin accepts a request."""
    for pattern, answer in ANSWERS.get(name, {}).items():
        if re.search(pattern, asked.path):
            return answer
    return saying(YES)
