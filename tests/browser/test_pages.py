"""The pages in a real headless Chromium: nothing from elsewhere, no error, for everybody to use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from receiver.cli import client
from receiver.links import Ticket, mark_of, sign
from receiver.web import paging
from receiver.web.pages import lists
from tests.support.live import Live, live
from tests.support.visited import ADDRESSES, NAME, ROUTES, TOKEN, Visit, sown
from tests.wire.test_take import KEY, link_of, press, send, taker, waits
from tests.wire.test_take import guarded as links

AXE = Path(__file__).with_name("axe.min.js")
CHROMIUM = shutil.which("chromium")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# What somebody who cannot see, or has no mouse, would stumble over.
SERIOUS = """async rules => (await axe.run(rules)).violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => each.id + ": " + each.nodes.map(node => node.html).slice(0, 3).join(" | "))"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install '.[browser]')"
    )
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An open server on loopback, with a small store."""
    with sown(tmp_path_factory.mktemp("small")) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with a token, without anything in it."""
    with live(tmp_path_factory.mktemp("guarded"), ROUTES, api_token=TOKEN) as receiver:
        yield receiver


@contextmanager
def tab(browser: Any, receiver: Live, *, may_refuse: bool = False, **options: Any) -> Iterator[Any]:
    """A tab of a fresh browser; nothing may go wrong in it, and nothing may leave the server.

    `may_refuse`: pages may be refusals, of which a browser writes on its console, too.
    """
    wrong: list[str] = []
    given = {"viewport": PHONE, "has_touch": True, **options}
    context = browser.new_context(base_url=receiver.url, **given)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("console", lambda m: wrong.append(m.text) if _is_wrong(m, may_refuse) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda asked: wrong.append(asked.url) if _is_away(asked, receiver) else None)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def _is_wrong(message: Any, may_refuse: bool) -> bool:
    is_status = message.text.startswith("Failed to load resource: the server responded with")
    return message.type in ("error", "warning") and not (may_refuse and is_status)


def _is_away(asked: Any, receiver: Live) -> bool:
    return not str(asked.url).startswith((f"{receiver.url}/", "data:"))


def look(page: Any, address: str, rules: tuple[str, ...] = ()) -> None:
    """Open a page and hold it to what every page has to be; to a few rules or to all."""
    assert page.goto(address).status == 200, address
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    assert page.locator("h1").count() == 1
    assert serious(page, rules) == [], address


def serious(page: Any, rules: tuple[str, ...] = ()) -> list[str]:
    """Return what axe-core finds serious on a page."""
    page.evaluate(AXE.read_text("utf-8"))
    found: list[str] = page.evaluate(SERIOUS, {"runOnly": list(rules)} if rules else {})
    return found


def test_each_page_is_for_everybody_and_loads_nothing_from_elsewhere(
    chromium: Any, small: Live
) -> None:
    with tab(chromium, small) as page:
        for address in ADDRESSES:
            if "?" not in address:
                look(page, address)
        assert page.evaluate("window.hacked") is None
        page.goto("/events")
        for _ in range(5):  # to the tab of this page itself
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == "Events"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_in_the_dark_and_on_a_large_screen_every_word_can_be_read(
    chromium: Any, small: Live
) -> None:
    with tab(chromium, small, color_scheme="dark", viewport=DESKTOP) as page:
        for address in ("/", "/executions/asteroid/invoice-s", "/deliveries", "/silences"):
            look(page, address, ("color-contrast",))


def test_what_would_be_wrong_is_found(chromium: Any, small: Live) -> None:
    with pytest.raises(AssertionError, match="Content Security Policy"):
        spoil(chromium, small)


def spoil(chromium: Any, receiver: Live) -> None:
    """Put a field without a label and a script of another hand onto a page."""
    with tab(chromium, receiver) as page:
        page.goto("/ledger")
        page.evaluate("document.querySelector('h1').outerHTML += '<input>'")
        assert [line.partition(":")[0] for line in serious(page)] == ["label"]
        page.evaluate("document.body.append(document.createElement('script'))")
        page.evaluate("document.querySelector('body > script').text = 'window.hacked = 1'")
        assert page.evaluate("window.hacked") is None


def test_an_empty_store_says_how_to_get_the_first_event_in(chromium: Any, guarded: Live) -> None:
    with tab(chromium, guarded) as page:
        page.goto("/events?verdict=held")
        look(page, "/login?next=%2Fevents%3Fverdict%3Dheld")
        page.get_by_label("API token").fill(TOKEN)
        page.get_by_label("Your name").fill("Ann")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/events?verdict=held")
        for address in ("/executions", "/deliveries", "/silences", "/ledger", "/"):
            look(page, address, ("label", "link-name", "color-contrast"))
        assert page.get_by_role("heading", name="Nothing has come yet").is_visible()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
        page.goto("/executions")
        assert page.url.endswith("/login?next=/executions")


def test_a_wrong_token_is_told_and_the_right_one_still_works(chromium: Any, guarded: Live) -> None:
    with tab(chromium, guarded) as page:
        page.goto("/login")
        page.get_by_label("API token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{guarded.url}/")
    context = chromium.new_context(base_url=guarded.url)
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("API token").fill("no token")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert "That is not the token" in page.get_by_role("alert").inner_text()
    context.close()


def test_a_page_that_is_left_open_asks_to_sign_in_once_the_session_is_over(
    chromium: Any, guarded: Live
) -> None:
    context = chromium.new_context(base_url=guarded.url)
    page = context.new_page()
    page.clock.install()
    page.goto("/login")
    page.get_by_label("API token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Waits for a person").wait_for()
    context.clear_cookies()
    page.clock.fast_forward(11_000)
    page.get_by_label("API token").wait_for()
    context.close()


def test_somebody_takes_what_waits_and_the_page_follows_without_a_reload(
    chromium: Any, small: Live
) -> None:
    with tab(chromium, small) as page:
        page.clock.install()
        page.goto("/")
        page.evaluate("window.isSame = true")
        card = page.locator("li.card", has_text="About to pay 4,200 EUR")
        page.locator("summary", has_text="As a table").first.click()
        card.get_by_label("Your name").fill("Bea")
        small.post(client.asteroid_event("EXECUTION_STARTED", "news"))
        small.post(client.asteroid_event(
            "EXECUTION_AWAITING_CONFIRMATION", "news", payload={"reason": "Something new"}
        ))  # fmt: skip
        page.clock.fast_forward(11_000)
        page.get_by_text("Something new").wait_for()
        # What somebody was writing is still there, and what was opened is still open.
        assert page.locator("details[open]").count() == 1
        assert card.get_by_label("Your name").input_value() == "Bea"
        assert page.evaluate("window.isSame")
        card.get_by_role("button", name="I take it").click()
        page.wait_for_url("**/executions/asteroid/pay")
        assert "Bea takes care of pay" in page.get_by_role("status").inner_text()
        # The name is remembered: from now on it is one tap.
        page.goto("/")
        other = page.locator("li.card", has_text="Something new")
        other.get_by_role("button", name="I take it").click()
        page.wait_for_url("**/executions/asteroid/news")
        assert page.get_by_text("Bea takes care of it").first.is_visible()


def test_a_search_goes_on_by_itself_until_it_finds_something(
    chromium: Any, small: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SLICE", 1)
    monkeypatch.setattr(lists, "SEARCH_SECONDS", 0.0)
    (*_, first) = small.store.executions({}, 99, None)[0]
    id_ = first["execution_id"]
    with tab(chromium, small) as page:
        page.goto(f"/executions?q={id_[:-1]}")
        page.locator("code", has_text=id_).wait_for()
        page.goto("/executions?q=nobody-at-all")
        page.get_by_text("No executions match").wait_for()
        assert serious(page) == []


def test_all_of_it_works_without_javascript_and_by_the_keyboard(chromium: Any, small: Live) -> None:
    with tab(chromium, small, java_script_enabled=False) as page:
        page.goto("/silences")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # to the content, past the tabs
        assert page.url.endswith("#content")
        page.get_by_label("Agent").fill("Test *")
        page.get_by_label("Why").fill("deploy")
        page.get_by_label("Your name").fill("Ann")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="End it now").first.click()
        assert "is over now" in page.get_by_role("status").inner_text()
        page.goto("/routes")
        page.get_by_label("Body").fill(client.asteroid_event("EXECUTION_FAILED", "new").decode())
        page.get_by_role("button", name="Say where it would go").click()
        assert page.get_by_role("heading", name="Messages, if nothing else happens").is_visible()
        page.goto("/executions/asteroid/invoice-s")
        assert page.get_by_role("img").first.is_visible()
        page.goto("/deliveries?state=dead")
        page.get_by_role("button", name="Send again").first.click()
        assert "is sent again now" in page.get_by_role("status").inner_text()


def test_from_a_message_s_link_it_takes_two_taps_on_a_phone(chromium: Any, tmp_path: Path) -> None:
    with links(tmp_path) as receiver, tab(chromium, receiver) as page:
        look(page, waits(receiver, "first"))
        assert page.get_by_role("button").count() == 1
        page.get_by_label("Your name").fill("Ann")
        button = page.get_by_role("button", name="I take it")
        box = button.bounding_box()
        assert box["y"] + box["height"] < PHONE["height"]  # without scrolling
        assert box["height"] >= 44
        button.tap()
        page.wait_for_selector("text=You take care of it")
        assert serious(page) == []
        assert taker(receiver, "first") == "Ann"
        look(page, waits(receiver, "second"))  # the first tap opens it
        assert page.get_by_text("You are Ann").is_visible()
        page.get_by_role("button", name="I take it").tap()  # the second
        page.wait_for_selector("text=You take care of it")
        assert taker(receiver, "second") == "Ann"
        page.context.clear_cookies()
        look(page, waits(receiver, "third"), ("color-contrast",))
        page.goto(link_of(receiver, "second"))
        page.get_by_label("Your name").fill("Bob")
        page.get_by_role("button", name="Take it over from Ann").tap()
        page.wait_for_selector("text=You take care of it")
        assert taker(receiver, "second") == "Bob"


def test_pages_that_refuse_are_for_everybody_too(chromium: Any, tmp_path: Path) -> None:
    with links(tmp_path) as receiver:
        over, taken = (waits(receiver, name, agent_name=NAME) for name in ("over", "taken"))
        send(receiver, "RESUMED", "over", 30)
        press(Visit(receiver), taken, name="Ann")
        (notice,) = receiver.store.deliveries(
            {"execution_id": "taken", "kind": "notice"}, 2, None
        )[0]  # fmt: skip
        mark = mark_of("asteroid", "taken", 2, "approvers")
        old = sign(KEY.encode(), Ticket(notice["id"], mark, 1))
        for scheme in ("light", "dark"):
            with tab(chromium, receiver, may_refuse=True, color_scheme=scheme) as page:
                for address, words in (
                    (taken, "Take it over from Ann"), (over, "Nothing to take"),
                    (over + "x", "This link does not work"), (f"/take/{old}", "has expired"),
                    ("/login", "Sign in"), ("/nowhere", "There is no such page"),
                ):  # fmt: skip
                    page.goto(address)
                    assert page.get_by_text(words).first.is_visible(), address
                    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                    assert page.locator("h1").count() == 1
                    assert serious(page) == [], address


def test_the_page_of_a_link_works_without_scripts_and_in_the_dark(
    chromium: Any, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"java_script_enabled": False, "color_scheme": "dark"}
    with links(tmp_path) as receiver, tab(chromium, receiver, **more) as page:
        page.goto(waits(receiver, "first", agent_name=NAME))
        page.get_by_label("Your name").fill("Ann")
        page.get_by_role("button", name="I take it").tap()
        page.wait_for_selector("text=You take care of it")
        assert taker(receiver, "first") == "Ann"
    with links(tmp_path) as receiver, tab(chromium, receiver, color_scheme="dark") as page:
        for path in (link_of(receiver, "first"), waits(receiver, "next", agent_name=NAME)):
            look(page, path, ("color-contrast",))
        assert page.evaluate("window.hacked") is None
