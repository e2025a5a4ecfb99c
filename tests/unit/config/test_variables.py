"""Variables of routes.yaml: filled in as in a shell, or an error with what to write."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from receiver.config.problems import is_slip
from tests.support.live import PUBLIC
from tests.unit.config.test_routes_file import GOOD, problems, read
from tests.unit.config.test_settings import VARIABLES

KEY = GOOD.replace("a-token-of-sixteen-bytes", "'@@'")
OLD = "old-token-of-16-bytes"
NEW = "new-token-of-16-bytes"
# Everything of a file that is no template.
PLACES = {
    "key": ("a-token-of-sixteen-bytes", 3),
    "header": ("X-T", 3),
    "url": ("console://", 5),
    "status": ("failed}", 8),
    "notify": ("[ops]", 9),
    "name": ("failures", 7),
}


def key(folder: Path, text: str, **environ: str) -> bytes:
    (key,) = read(folder, KEY.replace("@@", text), **environ).sources["asteroid"].verification.keys
    assert isinstance(key, bytes)
    return key


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("${NEW:-${OLD}}", {"OLD": OLD}, OLD),
        ("${NEW:-${OLD}}", {"OLD": OLD, "NEW": NEW}, NEW),
        ("${NEW:-${OLD}}", {"NEW": NEW}, NEW),
        ("${NEW:-${OLD:-" + OLD + "}}", {}, OLD),
        ("${NEW:-${OLD}}", {"NEW": "", "OLD": OLD}, OLD),
        ("${A:-x}-${B:-${C:-y}}-0123456789abcdef", {"B": "z"}, "x-z-0123456789abcdef"),
        ("$${OLD}-0123456789abcdef", {"OLD": OLD}, "${OLD}-0123456789abcdef"),
        ("${NEW:-$${OLD}-0123456789abcdef}", {}, "${OLD}-0123456789abcdef"),
        ("pa$$w$ord{}%20-0123456789", {}, "pa$$w$ord{}%20-0123456789"),
        ("${NEW}", {"NEW": "pa$word-%20-{x}-<y>-z"}, "pa$word-%20-{x}-<y>-z"),
        ("${NEW}", {"NEW": "$2b$12$abcdefghijklmnop"}, "$2b$12$abcdefghijklmnop"),
    ],
)
def test_a_variable_is_filled_in_as_in_a_shell(
    tmp_path: Path, text: str, environ: dict[str, str], value: str
) -> None:
    assert key(tmp_path, text, **environ) == value.encode()


def test_what_is_still_as_the_documentation_writes_it_is_a_warning(tmp_path: Path) -> None:
    slack = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    mail = "mailtos://USER:PASSWORD@smtp.example.org:587?from=a@example.org&to=b@example.org"

    def warned(text: str, **environ: str) -> list[str]:
        rules = read(tmp_path, text, **environ)
        found = [each for each in rules.warnings if "example" in each]
        assert not any(value in each for value in environ.values() for each in found)
        return [
            each.partition(": warning: ")[2].partition(" is an example of")[0] for each in found
        ]

    url = GOOD.replace("console://", "${OPS_URL}")
    secret = KEY.replace("@@", "${NEW}")
    assert warned(url, OPS_URL=slack) == warned(url, OPS_URL=mail) == ["the value of OPS_URL"]
    assert warned(secret, NEW="a-long-random-text") == ["the value of NEW"]
    assert len(warned(GOOD.replace("console://", f"{mail}"))) == 1
    assert warned(url, OPS_URL=slack.replace("T00000000/B0", "T0A0B0C0D/B0")) == []
    assert warned(secret, NEW="a-long-random-word-of-mine") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${NEW:-${OLD}}", "OLD is not set"),
        ("${NEW:?give it}", "only ${NEW} and ${NEW:-default} are read"),
        ("${NEW-default}", "only ${NEW} and ${NEW:-default} are read"),
        ("${NEW:+other}", "only ${NEW} and ${NEW:-default} are read"),
        ("${ NEW }", "only ${NEW} and ${NEW:-default} are read"),
        ("${env:NEW}", "are read: write one of them"),
        ("${}", "only ${NAME} and ${NAME:-default} are read"),
        ("${NEW", "a ${ is not closed"),
        ("${NEW:-${OLD}", "a ${ is not closed"),
        ("${A:-" * 11 + "}" * 11, "a ${ is not closed"),
        ("${A:-" * 2_000 + "}" * 2_000, "a ${ is not closed"),
        ("<your-secret>", "looks like a placeholder"),
        ("${NEW:-${OLD:?no}}", "only ${OLD} and ${OLD:-default} are read"),
    ],
)
def test_a_form_that_is_not_read_is_an_error_that_says_what_to_write(
    tmp_path: Path, text: str, says: str
) -> None:
    found = problems(tmp_path, KEY.replace("@@", text))
    assert any(line.startswith("3: ") and says in line for line in found), found


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", VARIABLES)
def test_what_looks_like_a_variable_is_an_error_with_its_line_wherever_it_stands(
    tmp_path: Path, place: str, text: str
) -> None:
    old, line = PLACES[place]
    new = f"'{text}'" + "}" * old.endswith("}")
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(each.startswith(f"{line}: ") for each in found), found
    if place in ("key", "header", "url"):
        # The text itself never becomes the secret, also when it comes from the environment.
        found = problems(tmp_path, GOOD.replace(old, "'${GIVEN}'", 1), GIVEN=text)
        assert any(each.startswith(f"{line}: the value of GIVEN looks") for each in found), found
        (tmp_path / "given").write_text(f"\ufeff{text}\r\n", "utf-8")
        given = problems(
            tmp_path, GOOD.replace(old, "'${GIVEN}'", 1), GIVEN_FILE=str(tmp_path / "given")
        )
        assert given == found


@pytest.mark.parametrize("place", ["agents", "secret_header", "labels"])
def test_agents_and_secret_headers_are_held_to_the_same(tmp_path: Path, place: str) -> None:
    verify = "verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}"
    new = {
        "agents": verify + "\n    agents: ['$AGENT']",
        "secret_header": verify[:-1] + ", secret_header: {name: X-S, value: '{{ secret }}'}}",
        "labels": verify.replace("[a", "[{label: '$NAME', key: a").replace("s]", "s}]"),
    }[place]
    found = problems(tmp_path, GOOD.replace(verify, new))
    assert any("looks like a variable that nothing fills in" in line for line in found), found


def test_a_password_in_an_address_may_not_be_a_variable_either(tmp_path: Path) -> None:
    for url in ("mailto://me:$PASSWORD@example.org", "json://$HOST/x", "json://h/$PATH_OF_IT"):
        found = problems(tmp_path, GOOD.replace("console://", url))
        assert found[0].startswith("5: ops: looks like a variable"), found
        assert problems(tmp_path, GOOD.replace("console://", "'${U}'"), U=url)
    for url in ("mailto://me:pa$Word@example.org", "mailto://me:%24PASSWORD@example.org"):
        assert read(tmp_path, GOOD.replace("console://", url)).destinations["ops"].url == url


def test_a_template_keeps_its_braces(tmp_path: Path) -> None:
    text = GOOD.replace(
        "    notify: [ops]",
        '    title: "${{ reason }} of {{ agent_name }}: ${TEAM:-us}"\n    notify: [ops]',
    )
    assert read(tmp_path, text).routes[0].title == "${{ reason }} of {{ agent_name }}: us"
    assert read(tmp_path, text, TEAM="{{ source }}").routes[0].title == (
        "${{ reason }} of {{ agent_name }}: {{ source }}"
    )
    assert problems(tmp_path, text.replace(":-us", ":?us"))


def test_a_variable_in_a_key_is_an_error(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("{status: failed}", '{metadata: {"${KEY}": a}}'))
    assert found == ["8: variables are filled in in values, not in keys"]


@pytest.mark.parametrize(
    "around", ["\n", "\r\n", " ", "\t", "\ufeff", "\u00a0", "\0", "\ufeff \r\n"]
)
def test_blanks_line_ends_and_byte_order_marks_around_a_value_go(
    tmp_path: Path, around: str
) -> None:
    assert key(tmp_path, "${NEW}", NEW=f"{around}{NEW}{around}") == NEW.encode()
    (tmp_path / "new").write_text(f"{around}{NEW}{around}", "utf-8", newline="")
    path = f"{around}{tmp_path / 'new'}{around}"
    assert key(tmp_path, "${NEW:-default}", NEW_FILE=path) == NEW.encode()
    assert key(tmp_path, "${NEW:-" + OLD + "}", NEW=around) == OLD.encode()
    text = GOOD.replace("console://", "json://${HOST}/x").replace(
        "[a-token-of-sixteen-bytes]",
        "['a-token-of-sixteen-bytes'], secret_header: {name: X-S, value: '${S}'}",
    )
    rules = read(tmp_path, text, HOST=f"{around}h{around}", S=f"{around}secret-header{around}")
    assert rules.destinations["ops"].url == "json://h/x"
    assert rules.sources["asteroid"].verification.secret_header == ("X-S", "secret-header")


def test_a_secret_that_stands_in_the_file_itself_loses_its_line_end(tmp_path: Path) -> None:
    text = GOOD.replace(
        "{scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}",
        "\n      scheme: token\n      header: X-T\n      keys:\n        - |\n          " + NEW,
    )
    assert read(tmp_path, text).sources["asteroid"].verification.keys == (NEW.encode(),)


def test_quotes_that_came_along_are_an_error(tmp_path: Path) -> None:
    for value in (f'"{NEW}"', f"'{NEW}'", "<secret>"):
        (found,) = problems(tmp_path, KEY.replace("@@", "${NEW}"), NEW=value)
        assert found.startswith(
            "3: the value of NEW looks like a variable, a placeholder or a text"
        )
        assert NEW not in found


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("OPSURL", "OPSURL is set; did you mean OPS_URL?"),
        ("ops_url", "ops_url is set; did you mean OPS_URL?"),
        ("OPS_UR", "OPS_UR is set; did you mean OPS_URL?"),
        ("OPS_URLS", "OPS_URLS is set; did you mean OPS_URL?"),
        ("OPS_URI", "OPS_URI is set; did you mean OPS_URL?"),
        ("OSP_URL", "OSP_URL is set; did you mean OPS_URL?"),
        ("OPSURL_FILE", "OPSURL_FILE is set; did you mean OPS_URL_FILE?"),
        ("OPS_URL_FIEL", "OPS_URL_FIEL is set; did you mean OPS_URL_FILE?"),
    ],
)
def test_a_console_that_stands_for_an_absent_variable_is_told_with_the_misspelt_one(
    tmp_path: Path, variable: str, hint: str
) -> None:
    for url in ('"${OPS_URL:-console://}"', '{url: "${OPS_URL:-console://}"}'):
        text = GOOD.replace("console://", url)
        (warning, _) = read(tmp_path, text, **{variable: "canary://secret"}).warnings
        assert warning == (
            f"{tmp_path / 'routes.yaml'}:5: warning: ops prints only: OPS_URL is not set ({hint})"
        )
    required = problems(
        tmp_path, GOOD.replace("console://", '"${OPS_URL}"'), **{variable: "canary://secret"}
    )
    assert required == [f"5: OPS_URL is not set ({hint}): set it, or write ${{OPS_URL:-default}}"]


def test_an_absent_variable_is_told_in_other_warnings_too(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[a-token-of-sixteen-bytes]",
        '["${TOKEN:-}"], secret_header: {name: X-S, value: "${SECRET:-}"}',
    )
    warnings = read(tmp_path, text, TOKNE="x", SECERT="y").warnings
    starts = [warning.removeprefix(f"{tmp_path / 'routes.yaml'}:") for warning in warnings]
    assert starts[0] == (
        "2: warning: source asteroid has no key: it answers 401 to everything: TOKEN is not set"
        " (TOKNE is set; did you mean TOKEN?)"
    )
    assert starts[-1] == ("3: warning: SECRET is not set (SECERT is set; did you mean SECRET?)")


def test_a_list_of_agents_that_is_empty_for_want_of_a_variable_is_told(tmp_path: Path) -> None:
    text = GOOD.replace("    verify", '    agents: ["${AGENT:-}"]\n    verify')
    says = "2: warning: source asteroid takes the events of every agent: AGENT is not set"
    assert says in "".join(read(tmp_path, text, AGENTS="a").warnings)
    rules = read(tmp_path, text, AGENT=" agent-1\r\n")
    assert rules.sources["asteroid"].agents == {"agent-1"}
    assert "every agent" not in "".join(rules.warnings)


def test_a_secret_header_that_is_off_for_want_of_a_variable_is_told(tmp_path: Path) -> None:
    text = GOOD.replace(
        "{scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}",
        '{scheme: rsa-sha256, keys: ["${PUBLIC}"], secret_header: {name: X, value: "${S:-}"}}',
    )
    warnings = "".join(read(tmp_path, text, PUBLIC=PUBLIC).warnings)
    assert "set a secret_header or agents: S is not set" in warnings


@pytest.mark.parametrize("text", ["${", "{{", "$(a", " \t", "$$", "<"])
def test_a_huge_value_takes_no_time(tmp_path: Path, text: str) -> None:
    begun = time.process_time()
    key(tmp_path, "${NEW}-0123456789abcdef", NEW="a" + text * 50_000 + "a")
    assert time.process_time() - begun < 5


def test_a_console_that_is_meant_or_not_reached_is_no_warning(tmp_path: Path) -> None:
    for text, environ in (
        (GOOD, {"OPSURL": "x"}),
        (GOOD.replace("console://", '"${OPS_URL:-json://h}"'), {}),
        (GOOD.replace("console://", '"${OPS_URL:-console://}"'), {"OPS_URL": "json://h"}),
        (GOOD.replace("console://", '"${OPS_URL:-console://}"'), {"OPS_URL": "console://"}),
        (GOOD.replace("console://", '{url: console://, rate: "${RATE:-1/s}"}'), {}),
    ):
        assert not any("prints only" in w for w in read(tmp_path, text, **environ).warnings)
    empty = read(tmp_path, GOOD.replace("console://", '"${OPS_URL:-console://}"'), OPS_URL="\r\n")
    assert "ops prints only: OPS_URL is empty" in empty.warnings[0]


@pytest.mark.parametrize(
    ("written", "meant", "slips"),
    [
        ("OPSURL", "OPS_URL", True), ("Ops_Url", "OPS_URL", True), ("OPS__URL", "OPS_URL", True),
        ("OPS_UR", "OPS_URL", True), ("POS_URL", "OPS_URL", True), ("OPS_URLL", "OPS_URL", True),
        ("XOPS_URL", "OPS_URL", True), ("OPS_XRL", "OPS_URL", True), ("OPS_ULR", "OPS_URL", True),
        ("OPS_URL", "OPS_URL", False), ("OPS_URL2", "OPS_URL", False), ("KEY_1", "KEY_2", False),
        ("OPS_URL_OLD", "OPS_URL", False), ("UPS_URI", "OPS_URL", False), ("OPS", "OPS_URL", False),
        ("ABC", "ABD", False), ("A_B", "AB", True), ("SLACK_URL", "OPS_URL", False),
        ("ROUTE5", "ROUTES", False), ("", "OPS_URL", False),
    ],
)  # fmt: skip
def test_a_slip_is_one_letter_two_swapped_or_case_and_underscores(
    written: str, meant: str, slips: bool
) -> None:
    assert is_slip(written, meant) is slips
    assert is_slip(meant, written) is slips


def test_variables_that_are_meant_or_set_everywhere_are_no_slips(tmp_path: Path) -> None:
    text = GOOD.replace("ops: console://", 'ops: "${OPS_URL:-console://}${OPS_URI:-}"')
    assert "did you mean" not in read(tmp_path, text, OPS_URI="x").warnings[0]
    text = GOOD.replace("ops: console://", 'ops: "${HOMES:-console://}"')
    assert "did you mean" not in read(tmp_path, text, HOME="/root").warnings[0]


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("prefix-$OLD-of-16-bytes", True),
        ("sixteen-bytes-and-$API_KEY", True),
        ("sixteen-bytes-and-%API_KEY%", True),
        ("pa$$w$ord{}%20-0123456789", False),
        ("$2b$12$abcdefghijklmnop", False),
        ("sixteen-bytes-$AB-and-$abc", False),
    ],
)
def test_a_key_of_which_a_part_looks_like_a_variable_is_warned_of(
    tmp_path: Path, text: str, warned: bool
) -> None:
    warnings = read(tmp_path, KEY.replace("@@", text)).warnings
    assert warned == any("a part of the key looks like a variable" in each for each in warnings)
    assert not any(text in each for each in warnings)


@pytest.mark.parametrize(
    ("condition", "warned"),
    [
        ("agent: '<name>'", "agent: '<name>' looks like a placeholder"),
        ("agent: ['Invoice *', '!<agent>']", "agent: '!<agent>' looks like a placeholder"),
        ("metadata: {team: '<team>'}", "metadata.team: '<team>' looks like a placeholder"),
        ("""agent: '"Invoice agent"'""", "has quotes in quotes"),
        ("agent: 'a<b>c'", ""),
    ],
)
def test_a_pattern_that_is_a_placeholder_is_warned_of(
    tmp_path: Path, condition: str, warned: str
) -> None:
    warnings = read(
        tmp_path, GOOD.replace("status: failed", f"status: failed, {condition}")
    ).warnings
    found = [each for each in warnings if "placeholder" in each]
    assert bool(found) == bool(warned)
    assert all(warned in each and ": warning: " in each for each in found), found
