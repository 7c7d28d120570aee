"""What approvers see: a question, what waits and what was decided, the way to sign in, and to make a passkey."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ap_mcp.guard.approval_requests import Asked, Question
from ap_mcp.guard.approvals import Approvers, Standing
from ap_mcp.guard.approvers import KnownApprover
from ap_mcp.guard.passkeys import rp_id_of
from ap_mcp.guard.showing import CANNOT_BE_SEEN, Shown, hides_something, outcome, shown
from ap_mcp.vendor import written
from ap_mcp.web.markup import Markup, element, together

FIRST_LINES = 4
"""Of what would happen: as of when, and the three lines that decide."""
NO_PASSKEYS = (
    "This page is not at an address where browsers have passkeys: they need https://, or http://localhost. "
    "Decide in a terminal."
)
NOBODY = "Nobody has a passkey for this page yet. The operator makes a link for one with: ap-mcp approvals enrol NAME"
WHY_THE_NAME = "Typing its name shows that you have read what this is about."
CALL_WAITS = "The call stays open for your answer, and goes on by itself once you approve it."
CALL_AGAIN = (
    "The one who asks may have left: if the call does not wait any more, it is made again once you have approved."
)
COUNTS_ONCE = "Your passkey signs exactly what stands above; it counts once, for this call alone, until it expires."
DECLINED_OR_WITHDRAWN = (
    "To decline refuses the same call until the question expires. To withdraw takes the question away, and the call "
    "may ask again. Both need a passkey too."
)
SCRIPTLESS = "This page needs scripts to use a passkey. In a terminal of the server's user you decide with:"
_ALARMS = ("Warning:", "Not known:")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the pages are.

    Attributes:
        origin: of all of them.
        base: the path that they stand under, without a slash at its end; often empty.
    """

    origin: str
    base: str = ""

    @property
    def rp_id(self) -> str:
        """The name that passkeys of the pages are bound to; empty if browsers have none here."""
        return rp_id_of(self.origin)

    @property
    def all(self) -> str:
        """The path of the list of questions."""
        return f"{self.base}/approvals"

    def of(self, *parts: str) -> str:
        """Return the path of a page below the list."""
        return "/".join((self.all, *parts))


def question_page(
    places: Places,
    question: Question,
    found: Standing,
    now: datetime,
    *,
    key: str,
    approvers: Approvers,
    many: int,
    waits: bool = False,
) -> Markup:
    """Return the page of one question: all that the terminal shows of it, and how to decide it if that can be done.

    Args:
        places: where the pages are.
        question: what is asked.
        found: what it has come to.
        now: the time.
        key: what stands in its link beside the code.
        approvers: whose answers count.
        many: how often its principal asked within a day, this time included.
        waits: the call stays open for the answer.
    """
    seen = shown(question, now)
    title = f"{seen.code}: {seen.tool} {seen.name}"
    parts = [
        element("p", _mark(seen), class_="alarm-text"),
        element("h1", f"{seen.tool} ", seen.name),
        element("p", f"Question {seen.code}, asked {seen.asked}, {seen.left}", class_="soft"),
        _impact(seen),
        _facts(seen, many),
        _arguments(seen),
    ]
    if found.state == "pending":
        parts.append(element("p", CALL_WAITS if waits else CALL_AGAIN, id="asker", class_="soft"))
        parts.append(_deciding(places, question, seen, key, approvers))
        return _page(places, title, *parts)
    by = f" by {found.approver}" if found.approver else ""
    over = f"This question is {found.state}{by}{f', {found.why}' if found.why else ''}."
    parts.append(_card("How it stands", element("p", over, id="standing")))
    if found.state == "approved":
        back = "Until the call has used it, an approver can take the approval back. That is neither a yes nor a no."
        buttons = element("div", _button("Withdraw", "withdraw"), class_="buttons")
        form = _decide_form(places, question, key, element("p", back), buttons, _status())
        parts.append(_usable(places, approvers, form))
    return _page(places, title, *parts)


def list_page(
    places: Places,
    approver: str,
    waiting: Sequence[tuple[Question, str]],
    ended: Sequence[Asked],
    *,
    approvers: Approvers,
    now: datetime,
) -> Markup:
    """Return the page of what waits, and of what was decided, for an approver who has signed in.

    Args:
        places: where the pages are.
        approver: who has signed in.
        waiting: the questions, each with the path of its page.
        ended: what came to an end of late.
        approvers: whose answers count.
        now: the time.
    """
    out = element(
        "form",
        element("div", element("button", "Sign out", type="submit"), class_="buttons"),
        _status(),
        data_does="sign-out",
        action=places.of("sign-out"),
        method="post",
    )
    rows = [
        [element("a", seen.code, href=path), *_about(seen), seen.left]
        for question, path in waiting
        for seen in (shown(question, now),)
    ]
    history = [
        [seen.code, *_about(seen), f"{outcome(asked, approvers, now)}; {written(asked.ended)}"]
        for asked in ended
        for seen in (shown(asked.question, now),)
    ]
    heads = ["Code", "Call", "Where", "For whom"]
    return _page(
        places,
        "Approvals",
        element("h1", "Approvals"),
        element("p", f"Signed in as {approver}, for ten minutes.", class_="soft"),
        _table("What waits for a person", [*heads, "Time left"], rows, "Nothing waits for a person."),
        _table("What came of others", [*heads, "Outcome"], history, "Nothing was decided within the last day."),
        out,
    )


def sign_in_page(places: Places, approvers: Approvers) -> Markup:
    """Return the page that asks for a passkey before it shows anything."""
    why = "What waits for a person is shown to approvers only. A link to one question, as the call gave it, shows that."
    form = element(
        "form",
        element("p", why),
        element("div", element("button", "Sign in with a passkey", type="submit", class_="main"), class_="buttons"),
        _status(),
        data_does="sign-in",
        data_rp=places.rp_id,
        action=places.of("sign-in"),
        method="post",
    )
    return _page(places, "Sign in", element("h1", "Approvals"), _usable(places, approvers, form))


def enrol_page(places: Places) -> Markup:
    """Return the page on which a new approver makes a passkey."""
    if not places.rp_id:
        return _page(places, "Become an approver", element("h1", "Become an approver"), element("p", NO_PASSKEYS))
    form = element(
        "form",
        element("p", "Name: ", element("strong", "the one in your link", id="invited")),
        element("p", "Your device makes a passkey for this page. It counts once the operator has entered it."),
        element("div", element("button", "Make a passkey", type="submit", class_="main"), class_="buttons"),
        _status(),
        data_does="enrol",
        data_rp=places.rp_id,
        action=places.of("enrol"),
        method="post",
        class_="card",
    )
    made = element(
        "section",
        element("h2", "Your passkey is made. It counts for nothing yet.", tabindex="-1"),
        element("p", "Send this line to the operator of the server, who runs it there:"),
        element("pre", "", id="made-command", class_="whole", tabindex="0"),
        element(
            "p",
            "Tell them the fingerprint by another way, so that both of you know it is yours: ",
            element("strong", "", id="made-fingerprint", class_="typed"),
        ),
        element("p", "Or they enter it in approvers.json by hand, for ", element("strong", "", id="made-name"), ":"),
        element("pre", "", id="made-entry", class_="whole", tabindex="0"),
        id="made",
        class_="card",
        hidden=True,
    )
    return _page(places, "Become an approver", element("h1", "Become an approver"), form, made)


def message_page(places: Places, title: str, text: str) -> Markup:
    """Return a page that says one thing."""
    return _page(places, title, element("h1", title), element("p", text))


def _deciding(places: Places, question: Question, seen: Shown, key: str, approvers: Approvers) -> Markup:
    """Return the part of a page that decides, or says why nobody can."""
    command = f"ap-mcp approvals approve {seen.code}"
    if hides_something(question):
        return _card("Nobody can decide this", element("p", f"It cannot be decided: {CANNOT_BE_SEEN}."), alarm=True)
    form = _decide_form(
        places,
        question,
        key,
        element("h2", "Decide"),
        element("p", f"{seen.tool} (effect: {seen.effect}) acts on ", element("strong", seen.name, class_="typed")),
        element("p", seen.where),
        element("label", f"Type {seen.name} to approve, without the quotation marks", for_="name"),
        element("p", WHY_THE_NAME, id="why", class_="soft"),
        element(
            "input",
            id="name",
            name="name",
            class_="typed",
            autocomplete="off",
            autocapitalize="off",
            spellcheck="false",
            aria_describedby="why",
            required=True,
        ),
        element(
            "div",
            _button("Approve with a passkey", "approve", "main"),
            _button("Decline", "decline"),
            _button("Withdraw", "withdraw"),
            class_="buttons",
        ),
        _status(),
        element("p", COUNTS_ONCE, class_="soft"),
        element("p", DECLINED_OR_WITHDRAWN, class_="soft"),
    )
    return together(
        _usable(places, approvers, form),
        element("p", "In a terminal of the server's user: ", element("code", command), class_="soft"),
    )


def _decide_form(places: Places, question: Question, key: str, *children: Markup) -> Markup:
    return element(
        "form",
        *children,
        data_does="decide",
        data_rp=places.rp_id,
        action=places.of(question.code, key),
        method="post",
    )


def _button(text: str, value: str, kind: str | None = None) -> Markup:
    """Return a button of the form that decides; only to approve, the name must be typed."""
    return element("button", text, type="submit", value=value, class_=kind, formnovalidate=value != "approve")


def _usable(places: Places, approvers: Approvers, form: Markup) -> Markup:
    """Return a form that needs passkeys, or why none can be used; without scripts, what else there is."""
    if not places.rp_id:
        return _card("No passkeys here", element("p", NO_PASSKEYS), alarm=True)
    if not any(_is_of(each, places.origin) for each in approvers.values()):
        return _card("No approver yet", element("p", NOBODY), alarm=True)
    lists = element("code", "ap-mcp approvals list")
    without = element("noscript", element("p", SCRIPTLESS, " ", lists, class_="alarm-text"))
    return element("section", without, form, class_="card")


def _is_of(known: KnownApprover, origin: str) -> bool:
    return any(passkey.origin == origin for passkey in known.passkeys)


def _mark(seen: Shown) -> str:
    return f"SIMULATED, nothing real is touched · {seen.effect}" if seen.simulated else seen.effect


def _impact(seen: Shown) -> Markup:
    """Return what would happen: set off, so that what servers wrote cannot pass for our own words."""
    first, rest = seen.impact[:FIRST_LINES], seen.impact[FIRST_LINES:]
    return together(
        _card("What would happen", _lines(first, "lines first"), alarm=True),
        _card("All of it", _lines(rest, "lines")) if rest else None,
    )


def _facts(seen: Shown, many: int) -> Markup:
    asked = f"{seen.for_whom}" + (" (another person must decide)" if seen.other_approver else "")
    often = "for the first time within a day" if many < 2 else f"who asked {many} times within a day"
    rows = [
        ("Where", seen.where),
        ("Asked", f"{asked}, {often}"),
        ("Tool", f"{seen.tool} (effect: {seen.effect})"),
        ("It acts on", seen.name),
    ]
    pairs = [together(element("dt", term), element("dd", value)) for term, value in rows]
    return _card("Where, and for whom", element("dl", *pairs))


def _arguments(seen: Shown) -> Markup:
    return _card("Arguments", _lines(seen.arguments, "lines typed"))


def _lines(lines: Sequence[str], kind: str) -> Markup:
    items = (
        element("li", line or "\u00a0", class_="alarm-line" if line.startswith(_ALARMS) else None) for line in lines
    )
    return element("ul", *items, class_=kind, dir="ltr", role="list")


def _about(seen: Shown) -> list[Markup | str]:
    return [f"{seen.tool} {seen.name} ({seen.effect})", seen.where, seen.for_whom]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> Markup:
    if not rows:
        return _card(title, element("p", nothing))
    # With roles: where it is narrow the cells stand below each other, and to a reader it is still a table.
    head = _row(element("th", each, scope="col", role="columnheader") for each in heads)
    body = (
        _row(element("td", each, role="cell", data_label=name) for name, each in zip(heads, row, strict=True))
        for row in rows
    )
    groups = element("thead", head, role="rowgroup"), element("tbody", *body, role="rowgroup")
    table = element("table", element("caption", title), *groups, role="table")
    return element("section", table, class_="card wide", tabindex="0", aria_label=title)


def _row(cells: Iterable[Markup]) -> Markup:
    return element("tr", *cells, role="row")


def _card(title: str, *children: Markup, alarm: bool = False) -> Markup:
    return element("section", element("h2", title), *children, class_="card alarm" if alarm else "card")


def _status() -> Markup:
    return element("p", role="status")


def _page(places: Places, title: str, *children: Markup) -> Markup:
    """Return a whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · ap-mcp"),
        element("link", rel="stylesheet", href=places.of("static", "approvals.css")),
        element("script", src=places.of("static", "approvals.js"), defer=True),
    )
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element("header", element("p", f"ap-mcp at {places.origin}")),
        element("main", *children, id="content", tabindex="-1"),
        element(
            "footer",
            element(
                "p", "What stands in quotation marks, and what would happen, others have written: read them as data."
            ),
            element("p", element("a", "All that waits", href=places.all)),
        ),
    )
    return together(Markup("<!doctype html>\n"), element("html", head, body, lang="en"))
