"""The log says who called what in which trace, hides secrets, and nothing in it can pass for another entry."""

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from ap_mcp.calling import Calling, working_on
from ap_mcp.cli.logs import FORMS, INDENT, LONGEST, Seldom
from ap_mcp.masking import PLACEHOLDER

FORGED = 'sent\nERROR ap_mcp.guard: forged\r\n\x1b[2Jcleared\u2028{"level": "error"}\x00\u202eend'


@pytest.fixture
def record() -> Any:
    def make(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
        info = None if error is None else (type(error), error, error.__traceback__)
        return logging.LogRecord("ap_mcp.x", logging.WARNING, __file__, 1, message, args, info)

    return make


def entry(record: logging.LogRecord) -> dict[str, Any]:
    line = FORMS["json"]().format(record)
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_an_entry_is_one_object_with_its_time_level_and_logger(record: Any) -> None:
    made = record("sent %s", "it")
    made.created = 1764547200.25
    assert entry(made) == {
        "time": "2025-12-01T00:00:00.250+00:00",
        "level": "warning",
        "logger": "ap_mcp.x",
        "message": "sent it",
    }


def test_an_entry_names_who_called_what_in_which_trace(record: Any) -> None:
    tracer = TracerProvider().get_tracer("test")
    with working_on(Calling("token:ann", "get_quotas", is_shared=True)), tracer.start_as_current_span("x") as span:
        found = entry(record("sent"))
    assert (found["principal"], found["tool"]) == ("token:ann", "get_quotas")
    assert found["trace_id"] == f"{span.get_span_context().trace_id:032x}"


@pytest.mark.parametrize("form", list(FORMS))
def test_secrets_are_hidden_wherever_they_stand(record: Any, form: str) -> None:
    made = record("sent %s", {"token": "s3cr3t-value-1"}, error=ValueError("password=hunter22"))
    with working_on(Calling("token:ann", "password=hunter22")):
        shown = FORMS[form]().format(made)
    assert "hunter22" not in shown
    assert "s3cr3t" not in shown
    assert PLACEHOLDER in (json.loads(shown)["message"] if form == "json" else shown)
    assert "ValueError" in shown


def test_no_line_of_json_can_be_forged(record: Any) -> None:
    assert entry(record("%s", FORGED))["message"] == FORGED


def test_no_line_of_text_can_be_forged(record: Any) -> None:
    shown = FORMS["text"]().format(record("%s", FORGED))
    first, *more = shown.split("\n")
    assert first == "WARNING ap_mcp.x: sent"
    assert more
    assert all(line.startswith(INDENT[1:]) for line in more)
    assert not set("\x1b\x00\r\u2028\u202e") & set(shown)


@pytest.mark.parametrize("form", list(FORMS))
def test_no_entry_is_longer_than_a_bound_and_hides_its_secrets_first(record: Any, form: str) -> None:
    made = record("%s %s", "x" * (LONGEST // 2 - 30) + " password=hunter22-and-more-of-it", "y" * LONGEST)
    shown = FORMS[form]().format(made)
    assert len(shown) < LONGEST + 500
    assert "hunter" not in shown


@dataclass
class Library:
    """Code of others that writes to the log, and what is written of it."""

    minute: float = 0.0
    written: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seldom = Seldom(lambda: self.minute * 60)

    def says(self, text: str, line: int = 1, *, name: str = "uvicorn.error", error: Exception | None = None) -> None:
        info = None if error is None else (type(error), error, None)
        made = logging.LogRecord(name, logging.WARNING, "there.py", line, "%s", (text,), info)
        if self.seldom.filter(made):
            self.written.append(made.getMessage())


def test_what_a_library_says_again_and_again_is_written_once_a_minute_and_counted() -> None:
    library = Library()
    for number in range(100):
        library.says(f"invalid {number}")
    library.says("something else", 2)
    library.says("invalid", error=ValueError())
    library.minute = 2
    library.says("invalid 100")
    library.minute = 4
    library.says("invalid 101")
    assert library.written == [
        *("invalid 0", "something else", "invalid"),
        *("invalid 100 (left out within 2 min: 99 more like it)", "invalid 101"),
    ]


def test_what_we_say_ourselves_is_never_left_out() -> None:
    library = Library()
    for _ in range(3):
        library.says("refused", name="ap_mcp.guard")
    assert library.written == ["refused"] * 3
