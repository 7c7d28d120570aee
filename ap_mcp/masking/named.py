"""Hides values that follow the name of a secret in a text, in any notation.

Known are `name: value` and the lines below it, `name=value`, `"name": "value"`, `--name value`, `name value` as in
files of settings, XML elements and attributes, pairs of name and value in either order, items of a list of arguments,
tuples, and what templates write out.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial

from ap_mcp.late_patterns import later
from ap_mcp.masking.hints import Hints, next_at, occurrences
from ap_mcp.masking.in_lines import (
    LEAD,
    Edit,
    Line,
    below,
    goes_on_below,
    hidden_value,
    hide_below,
    is_block,
    key_and_value,
    line_at,
    lines_after,
    siblings,
)
from ap_mcp.masking.in_templates import hide_in_template, hide_literals, is_template
from ap_mcp.masking.names import GENERIC, Sense, sense_of
from ap_mcp.masking.placeholders import PLACEHOLDER
from ap_mcp.masking.values import is_opaque, is_open, looks_secret

_NAME_LIMIT = 256
_QUOTE = r"(?:\\{0,64}+[\"'])"
_BACK = later(r"[\w.-]*")
_WORD = later(r"[\w.-]{1,256}+")
_NAME = later(
    r"(?P<flag>--?+)?(?P<key>[\w.-]{1,256}+)"
    r"(?:(?:\\{0,64}+[\"'])?\]?[ \t]{0,3}(?P<sign>=>|:=|=|::?|\uff1a)[ \t]{0,3}|(?P<gap>[ \t]{1,3}))"
)
_VALUE = later(
    r"(?P<triple>\"\"\"|''')(?:(?!(?P=triple)).)+(?P<last>(?P=triple))|[fFrRbBuU]{0,2}(?P<open>\\{1,64}+[\"'])(?:(?!(?<!\\)(?P=open)).)*(?P<close>(?P=open))?"
    r"|[fFrRbBuU]{0,2}\"(?:[^\"\\]|\\.)*(?P<double>\")?|[fFrRbBuU]{0,2}'(?:[^'\\]|\\.)*(?P<single>')?"
    # The next line, where line breaks are written out, may name another secret: its name must stay.
    r"|(?P<bare>(?:\{\{(?:(?!\}\})[^\n]){0,2000}\}\}|[^\s\\{]++|\{|\\(?![nrt][ \t]*[\w.-]{1,128}[:=]))+)",
    re.DOTALL,
)
_ESCAPED_LINE = later(r"[^\r\n\"'\\]+")
_QUERY_VALUE = later(r"[^\s&\"']+")
_PART = later(r"[^;\r\n\"']+")
# Of what `--set` takes, and of addresses of Redis: `auth.password=…,image.tag=v1`.
_SET_PART = later(r"[^\s,;\"']{1,512}(?=,[A-Za-z][\w.-]{1,64}(?:\[\d{1,4}\])?=)")
_IN_FLOW = later(r"[^,\]}\r\n]+")
_REST = later(r"[^\r\n]+")
# What an error wraps goes on like this behind the last word of what failed: `failed to fetch token: unexpected status`.
_REASON = later(
    r"not (?:found|allowed|set|valid)\b"
    r"|(?:unexpected|failed|failure|error|invalid|unauthorized|unable|unknown|unsupported|malformed|missing|cannot|could)"
    r":?[ ][a-z\"]|(?:permission|access) denied|context (?:deadline|canceled)|dial tcp|rpc error"
    r"|(?:Get|Post|Head|Put) \\?\"https?://"
)
_COMMAND = later(r"[-|;&$`=/<>]")
_IS_LEAD = later(LEAD + r"[\"']?")
_INI_LEAD = later(r"[ \t]*(?:export[ \t]+|set[ \t]+|-[ \t]+)?")
_LABEL = later(LEAD + r"[\"']?(?:name|key)[\"']?[ \t]*:[ \t]*[\"']?", re.IGNORECASE)
_LABEL_END = later(r"[\"']?[ \t]*,?(?:[ \t]+#.*)?\r?")
_ITEM = later(r"(?P<lead>[ \t]*-[ \t]+)(?P<value>.+)")
_LABELS = rf"(?:name|key){_QUOTE}?[ \t]{{0,3}}[:=][ \t]{{0,3}}{_QUOTE}?"
_LABEL_BEFORE = later(rf"(?<![\w.-]){_LABELS}\Z", re.IGNORECASE)
_VALUE_AFTER = later(rf"{_QUOTE}?[,; \t]{{1,4}}{_QUOTE}?value{_QUOTE}?[ \t]{{0,3}}[:=][ \t]{{0,3}}", re.IGNORECASE)
_VALUE_BEFORE = later(
    rf"(?<![\w.-])value{_QUOTE}?[ \t]{{0,3}}[:=][ \t]{{0,3}}"
    rf"(?P<value>{_QUOTE}[^\"']{{1,256}}{_QUOTE}|[^\s,;\"'{{\[]{{1,256}})"
    rf"[,; \t]{{1,4}}{_QUOTE}?{_LABELS}\Z",
    re.IGNORECASE,
)
_ARGUMENT_AFTER = later(rf"{_QUOTE}[ \t]{{0,3}},[ \t]{{0,3}}")
_DEFAULT_AFTER = later(r"\"[ \t]{0,8}\{[^{}]{0,400}?\bdefault[ \t]{0,80}=[ \t]{0,8}(?=\")")
_TUPLE_BEFORE = later(r"(?:\bdefine[ \t]{0,3}\([ \t]{0,3}[\"']|\{[ \t]{0,3})\Z")
_TUPLE_AFTER = later(r"[\"']?[ \t]{0,3},[ \t]{0,3}(?:<<)?(?=[\"'])")
_ELEMENT = later(
    r"(?:[ \t\r\n][^<>]{0,500})?>(?:[ \t\r\n]{0,80}<!\[CDATA\[(?P<data>[^\]]{1,4000})\]\]>[ \t\r\n]{0,80}"
    r"|(?P<value>[^<]{1,4000}))</(?:[\w.-]{1,64}:)?(?P<tag>[\w.-]{1,128})>"
)
_ATTRIBUTE_BEFORE = later(r"<[^<>]{0,500}[ \t\r\n](?:name|key|id)[ \t]{0,3}=[ \t]{0,3}[\"']\Z", re.IGNORECASE)
_ATTRIBUTE_AFTER = later(
    r"[\"'](?:[^<>]{0,300}?[ \t\r\n]value[ \t]{0,3}=[ \t]{0,3}(?P<quote>[\"'])(?P<value>[^\"'<>]{1,4000})"
    r"|[^<>]{0,300}>[ \t\r\n]{0,80}(?:<value>)?(?P<text>[^<]{1,4000}))",
    re.IGNORECASE,
)
_HEADER_BEFORE = later(r"(?:set_header|add_header|[Hh]eader[ \t]{1,3}(?:set|add|append))[ \t]{1,8}\Z")
_ARN_BEFORE = later(r"(?<![\w.-])arn:[\w:-]{1,64}\Z")
_ENV_BEFORE = later(r"(?:^|\n)[ \t]{0,8}(?:ENV|setenv)[ \t]{1,8}\Z")
_TAG_BEFORE = later(r"<(?:name|key)>\Z", re.IGNORECASE)
_TAG_AFTER = later(r"</(?:name|key)>\s{0,80}<(?:value|string)>(?P<value>[^<]{1,4000})", re.IGNORECASE)
_CALL_AFTER = later(r"\((?=['\"])")
_LOGIN_BEFORE = later(r"(?:login|user|account)[ \t\r\n]{1,3}[\w.@+-]{1,128}[ \t\r\n]{1,3}\Z")
_DIRECTIVE = later(r"[ \t]*(?P<key>[\w.-]{1,128}+)[ \t]{1,80}(?P<value>[^\s;]+|\"[^\"]+\"|'[^']+')[ \t]*;?\r?")
_PLAIN_WORDS = frozenset(
    [
        "password",
        "passwords",
        "secret",
        "secrets",
        "token",
        "tokens",
        "credentials",
        "cookie",
        "passphrase",
        "key",
        "pass",
    ]
)
_KIND = later(r"[ \t]*(?:-[ \t]+)*[\"']?kind[\"']?[ \t]*:[ \t]+[\"']?Secret(?:List)?[\"']?[ \t\r]*")
_SEALED = later(r"^[ \t]*(?:-[ \t]+)*[\"']?(?:data|stringData)[\"']?[ \t]*:", re.MULTILINE)
_DECODER = json.JSONDecoder()
_FLOW_LIMIT = 4000
_LINES_BELOW = 20
_CONTAINER = 20_000
_HEAD = 640
"""Characters of a value by which is seen whether it is one of several parts."""
_NEAR = 400
"""Characters before a name in which what it stands in is sought."""
_DOUBTFUL = 4000
"""Characters by which a value under a doubtful name is judged."""


class Named:
    """One pass over a text.

    Args:
        text: to be shown.
        hidden: hides data under a secret's name, but for the facts about it.
    """

    def __init__(self, text: str, hidden: Callable[[object], object]) -> None:
        self.text = text
        self.hide_data = hidden
        self.done = 0
        self.edits: list[Edit] = []
        self.line = Line(text, 0, -1)

    def hide(self) -> str:
        """Return the text with the values replaced."""
        text = self.text
        places = Hints(text).places()
        if not places:
            return text
        if self._holds_secrets():
            for match in _SEALED.finditer(text):
                self._add_below(line_at(text, match.end()), sealed=True)
        index = 0
        while index < len(places):
            place = places[index]
            self.done = max(self.done, self._read(place), place + 1)
            index = next_at(places, self.done)
        return self._edited()

    def _holds_secrets(self) -> bool:
        """Say whether a line says that an object is a Secret; each line is read once, however often it does."""
        end = -1
        for at in occurrences(self.text, ("Secret",)):
            if at > end:
                line = line_at(self.text, at)
                end = line.end
                if _KIND.fullmatch(line.text):
                    return True
        return False

    def _edited(self) -> str:
        parts: list[str] = []
        done = 0
        for edit in sorted(self.edits, key=lambda each: (each.start, -each.end)):
            if edit.start >= done:
                parts += [self.text[done : edit.start], edit.shown]
                done = edit.end
        return "".join([*parts, self.text[done:]])

    def _line_at(self, position: int) -> Line:
        if not self.line.start <= position <= self.line.end:
            self.line = line_at(self.text, position)
        return self.line

    def _read(self, place: int) -> int:
        """Read the name around a place and hide what belongs to it; return how far that was read."""
        text = self.text
        before = _BACK.match(text[max(place - _NAME_LIMIT, 0) : place][::-1])
        start = place - (before.end() if before else 0)
        if start < self.done <= place:
            start = self.done
        word = _WORD.match(text, start)
        if word is None:
            return place + 1
        key, end, escaped = word[0].lstrip("-"), word.end(), False
        if key[:1] in ("n", "r", "t") and text[start - 1 : start] == "\\":
            key, escaped = key[1:], True
        sense = sense_of(key)
        if sense is Sense.PLAIN or (
            text[start - 1 : start] == ":" and _ARN_BEFORE.search(text, max(0, start - 80), start)
        ):
            return end
        found = self._element(start, end) if text[start - 1 : start] in ("<", ":") else 0
        if found or self._in_template(start):
            return found or end
        name = _NAME.match(text, start)
        if name is None:
            return self._read_alone(start, end, key, sense)
        after = self._after_gap if name["gap"] else partial(self._after_sign, escaped=escaped)
        return after(name, key, sense)

    # Names that are followed by a sign

    def _after_sign(self, name: re.Match[str], key: str, sense: Sense, *, escaped: bool) -> int:
        text, at = self.text, name.end()
        line = self._line_at(name.start())
        before = text[max(line.start, name.start() - _NEAR) : name.start()]
        colon = name["sign"] in (":", "::", "\uff1a")
        if colon and not escaped:
            opened = self._opened(name, key, sense, line, before)
            if opened is not None:
                return opened
            if name["sign"] == ":" and before.endswith(" ") and _REASON.match(text, at):
                return at
        if escaped:
            value = _ESCAPED_LINE.match(text, at)
        elif text[max(0, name.start() - 1) : name.start()] in ("?", "&") and name["sign"] == "=":
            value = _QUERY_VALUE.match(text, at)
        else:
            value = self._value(name, line, before, at, None if sense is Sense.SECRET else at + _DOUBTFUL)
        if value is None or value.end() == at:
            return name.end("key")
        return self._hide(value, key, sense)

    def _opened(self, name: re.Match[str], key: str, sense: Sense, line: Line, before: str) -> int | None:
        """Hide what a name opens: lines further in, a block, a list or an object; None if it is none of these."""
        text, at = self.text, name.end()
        rest = text[at : min(line.end, at + _NEAR)].strip()
        leads = name.start() - line.start < _NEAR and _IS_LEAD.fullmatch(before) is not None
        column = len(before.rstrip("\"'")) if leads else line.indent
        if is_block(rest):
            return self._hide_block(line, column, key, sense, at)
        if goes_on_below(rest):
            return (
                self._add_below(line, column=column)
                if sense is Sense.SECRET
                else self._judge_below(line, column, sense)
            )
        quoted = text[name.end("key") : name.end("key") + 1] == '"'
        if rest[:1] in ("{", "[") and not rest.startswith("{{"):
            if sense is not Sense.SECRET or quoted:
                return name.end("key")
            return self._hide_container(at)
        if leads and name.end() > name.end("sign") and rest[0] not in "\"'" and not self._is_escaped(at):
            return self._hide_line(line, column, key, sense, at)
        return None

    def _is_escaped(self, at: int) -> bool:
        return self.text[at : at + 1] == "\\"

    def _hide_line(self, line: Line, column: int, key: str, sense: Sense, at: int) -> int:
        """Hide the rest of a line of YAML, and the lines on which the same text goes on."""
        written = self.text[at : line.end]
        carriage = "\r" if written.endswith("\r") else ""
        shown = hidden_value(key, sense, written.strip())
        if shown == written.strip():
            return line.end if bare_placeholder(shown) else at
        more = below(line, column, items=False)
        end = more[-1].end if more else line.end
        self.edits.append(Edit(at, end, shown + carriage))
        return end

    def _hide_block(self, line: Line, column: int, key: str, sense: Sense, at: int) -> int:
        lines = below(line, column, items=False)
        inner = "\n".join(each.text.strip() for each in lines)
        if not lines or not looks_secret(key, sense, inner):
            return at
        shown = PLACEHOLDER
        if is_template(inner) and (shown := hide_in_template(inner)) == inner:
            return lines[-1].end
        if shown is not PLACEHOLDER:
            return self._hide_each(lines)
        self.edits.append(Edit(at, lines[-1].end, PLACEHOLDER))
        return lines[-1].end

    def _hide_each(self, lines: list[Line]) -> int:
        """Hide what is written out beside templates, line by line."""
        for each in lines:
            shown = hide_in_template(each.text)
            if shown != each.text:
                self.edits.append(Edit(each.start, each.end, shown))
        return lines[-1].end

    def _add_below(self, line: Line, *, column: int | None = None, sealed: bool = False) -> int:
        if column is None:
            column = len(line.text) - len(line.text.lstrip(" \t-"))
        lines = below(line, column, items=True)
        self.edits += hide_below(lines, sealed=sealed)
        return lines[-1].end if lines else line.end

    def _judge_below(self, line: Line, column: int, sense: Sense) -> int:
        """Judge the values right below a doubtful name whose own names say nothing: the `contents` of a `license`."""
        for each in below(line, column, items=False)[:_LINES_BELOW]:
            key, value, at = key_and_value(each)
            if key in GENERIC and value.strip():
                shown = _keeping_quotes(value.strip(), hidden_value(key, sense, value.strip()))
                if shown != value.strip():
                    self.edits.append(Edit(at, each.start + len(each.text.rstrip()), shown))
        return line.end

    def _hide_container(self, at: int) -> int:
        """Hide what is in a list or object behind a secret's name, on one line."""
        text = self.text
        while at < len(text) and text[at] not in "{[":
            at += 1
        try:
            data, length = _DECODER.raw_decode(text[at : at + _CONTAINER])
            end = at + length
        except (ValueError, RecursionError):
            end = _end_of_flow(text, at)
            if not any(map(str.isalnum, text[at:end].replace(PLACEHOLDER, ""))):
                return end
            self.edits.append(Edit(at, end, PLACEHOLDER))
            return end
        shown = self.hide_data(data)
        if shown != data:
            written = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
            self.edits.append(Edit(at, end, written))
        return end

    def _value(self, name: re.Match[str], line: Line, before: str, at: int, most: int | None) -> re.Match[str] | None:
        """Return the value behind a sign: how far it reaches depends on what it stands in."""
        text = self.text
        # Whether it is one of several parts is seen at its beginning: each of thousands may reach to the end.
        if name["sign"] == "=" and (part := self._part(before, at)) is not None:
            return part
        value = _VALUE.match(text, at, min(most or len(text), len(text)))
        if value is None or value["bare"] is None:
            return value
        if name["sign"] == ":" and name.end() > name.end("sign") and self._opens_flow(before):
            return _IN_FLOW.match(text, at)
        leads = name.start() - line.start < _NEAR and _INI_LEAD.fullmatch(before) is not None
        # The rest of a line is read for the names at its beginning alone: a long line may hold thousands.
        rest = _REST.match(text, at) if leads and name["sign"] in ("=", ":") else None
        return value if rest is None or self._is_command(name, value, rest[0]) else rest

    def _part(self, before: str, at: int) -> re.Match[str] | None:
        """Return the value of a setting behind which others follow in the same word; None if it is none of several."""
        text = self.text
        head = _VALUE.match(text, at, min(len(text), at + _HEAD))
        if head is None or head["bare"] is None:
            return None
        if (before.rstrip().endswith(";") or ";" in head[0]) and _is_in_parts(before, head[0]):
            return _PART.match(text, at)
        return _SET_PART.match(text, at) if "," in head[0] else None

    def _is_command(self, name: re.Match[str], value: re.Match[str], rest: str) -> bool:
        """Say whether a value ends at a blank, as in `TOKEN=abc ./run --all`, or goes on to the end of its line."""
        behind = rest[len(value[0]) :]
        if name.end() > name.end("sign") and name["sign"] == "=":
            return False
        return _COMMAND.search(behind) is not None or "\\" in behind

    @staticmethod
    def _opens_flow(before: str) -> bool:
        return before.count("{") > before.count("}") and before.rstrip()[-1:] in ("{", ",", "'", '"')

    def _hide(self, value: re.Match[str], key: str, sense: Sense) -> int:
        written = value[0]
        groups = value.groupdict()
        opening = _opening(written, groups.get("open"))
        closed = groups.get("close") or groups.get("double") or groups.get("single") or groups.get("last") or ""
        inner = written[len(opening) : len(written) - len(closed)]
        forms = (inner, inner.rstrip(",;)}]"), written.strip("\\\"'"))
        if any(is_open(each) for each in forms) or not looks_secret(key, sense, inner):
            return value.start() if sense is not Sense.SECRET else value.end()
        trailing = inner[len(inner.rstrip()) :] if not closed else ""
        shown = hide_in_template(inner) if is_template(inner) else PLACEHOLDER + trailing
        self.edits.append(Edit(value.start(), value.end(), opening + shown + closed))
        return value.end()

    # Names that are followed by a blank

    def _after_gap(self, name: re.Match[str], key: str, sense: Sense) -> int:
        text, at = self.text, name.end()
        if name["flag"]:
            value = None if text[at : at + 1] == "-" else _VALUE.match(text, at)
            return self._hide(value, key, sense) if value is not None else name.end("key")
        found = self._attribute(name.start(), name.end("key"), key, sense)
        if found or self._needs_no_sign(name, key):
            return found or self._hide_at(at, key, sense) or name.end("key")
        line = self._line_at(name.start())
        directive = _DIRECTIVE.fullmatch(text, line.start, min(line.end, line.start + _NEAR))
        if directive is None or directive["key"] != key or sense is not Sense.SECRET:
            return self._read_alone(name.start(), name.end("key"), key, sense)
        value_text = directive["value"].strip("\"'")
        if (key.lower() in _PLAIN_WORDS and not is_opaque(value_text)) or not looks_secret(key, sense, value_text):
            return name.end("key")
        start = directive.start("value")
        quote = directive["value"][0] if directive["value"][0] in "\"'" else ""
        self.edits.append(Edit(start, directive.end("value"), quote + PLACEHOLDER + quote))
        return line.end

    def _needs_no_sign(self, name: re.Match[str], key: str) -> bool:
        """Say whether a blank is enough before the value: in SQL, netrc, HAProxy, and in headers that nginx sets."""
        text, start = self.text, name.start()
        if _HEADER_BEFORE.search(text, max(0, start - 40), start) or _ENV_BEFORE.search(
            text, max(0, start - 40), start
        ):
            return True
        if not key.lower().endswith(("password", "passphrase", "psk")):
            return False
        is_quoted = text[name.end() : name.end() + 1] in ("'", '"', "`")
        return is_quoted or _LOGIN_BEFORE.search(text, max(0, start - 160), start) is not None

    # Names that stand alone, as the value of another name or as an item

    def _read_alone(self, start: int, end: int, key: str, sense: Sense) -> int:
        """Hide what a name announces that is no name of a value itself: of a pair, an element, an argument."""
        for found in self._beside(start, end, key, sense):
            if found:
                return found
        return end

    def _beside(self, start: int, end: int, key: str, sense: Sense) -> Iterator[int]:
        text = self.text
        line = self._line_at(start)
        if line.end - line.start < _NEAR:
            before, after = text[line.start : start], text[end : line.end]
            if _LABEL.fullmatch(before) and _LABEL_END.fullmatch(after):
                yield self._pair(line, key, sense)
            yield self._item(line, start, end, key, sense)
        yield self._attribute(start, end, key, sense)
        if text[start - 1 : start] == ">":
            yield self._tags(start, end, key, sense)
        if key.lower() == "password" and (found := _CALL_AFTER.match(text, end)):
            yield self._hide_at(found.end(), key, sense)
        if text[start - 1 : start] in ("'", '"', " ", ":", "="):
            yield self._inline_pair(start, end, key, sense)
        if text[start : start + 1] == "-" and (found := _ARGUMENT_AFTER.match(text, end)):
            yield self._hide_at(found.end(), key, sense)
        if (found := _DEFAULT_AFTER.match(text, end)) and text[max(0, start - 10) : start] == 'variable "':
            yield self._hide_at(found.end(), key, sense)
        if (found := _TUPLE_AFTER.match(text, end)) and _TUPLE_BEFORE.search(text, max(0, start - 20), start):
            yield self._hide_at(found.end(), key, sense)

    def _hide_at(self, at: int, key: str, sense: Sense) -> int:
        value = _VALUE.match(self.text, at)
        return 0 if value is None or value[0][0] in "{[" else self._hide(value, key, sense)

    def _pair(self, line: Line, key: str, sense: Sense) -> int:
        for each in siblings(line):
            label, value, at = key_and_value(each)
            if label not in ("value", "Value") or not value.strip():
                continue
            if is_block(value.strip()):
                self._hide_block(each, each.indent, key, sense, at)
                continue
            shown = _keeping_quotes(value.strip(), hidden_value(key, sense, value.strip()))
            if shown != value.strip():
                more = below(each, len(each.text) - len(each.text.lstrip(" \t-")), items=False)
                self.edits.append(Edit(at, more[-1].end if more else each.start + len(each.text.rstrip()), shown))
        return 0

    def _inline_pair(self, start: int, end: int, key: str, sense: Sense) -> int:
        text = self.text
        lowest = max(0, start - _NEAR)
        if _LABEL_BEFORE.search(text, max(0, start - 200), start) and (found := _VALUE_AFTER.match(text, end)):
            return self._hide_at(found.end(), key, sense)
        if text.find("alue", lowest, start) >= 0 and (found := _VALUE_BEFORE.search(text, lowest, start)):
            written = found["value"]
            inner = written.strip("\\\"'")
            if looks_secret(key, sense, inner):
                shown = written.replace(inner, PLACEHOLDER, 1)
                self.edits.append(Edit(found.start("value"), found.end("value"), shown))
        return 0

    def _item(self, line: Line, start: int, end: int, key: str, sense: Sense) -> int:
        """Hide the item behind `- --token`."""
        item = _ITEM.fullmatch(line.text.rstrip("\r"))
        if item is None or item["value"].strip().strip("\"'") != self.text[start:end] or self.text[start] != "-":
            return 0
        after = next(lines_after(line), None)
        value = _ITEM.fullmatch(after.text.rstrip("\r")) if after is not None else None
        if after is None or value is None or value["lead"] != item["lead"]:
            return 0
        written = value["value"].strip()
        if written.strip("\"'").startswith("-"):
            return 0
        at = after.start + value.start("value")
        if is_block(written):
            return self._hide_block(after, after.indent, key, sense, at)
        shown = _keeping_quotes(written, hidden_value(key, sense, written))
        if shown != written:
            self.edits.append(Edit(at, at + len(written), shown))
        return after.end

    # XML

    def _element(self, start: int, end: int) -> int:
        text = self.text
        tag = text.rfind("<", max(0, start - 65), start)
        if tag < 0 or not re.fullmatch(r"<(?:[\w.-]{1,64}:)?", text[tag:start]):
            return 0
        key = text[start:end]
        found = _ELEMENT.match(text, end)
        if found is None or found["tag"] != key:
            return 0
        group = "data" if found["data"] else "value"
        inner = found[group].strip()
        if inner and looks_secret(key, sense_of(key), inner):
            at = text.index(inner, found.start(group))
            self.edits.append(Edit(at, at + len(inner), PLACEHOLDER))
        return found.start(group)

    def _tags(self, start: int, end: int, key: str, sense: Sense) -> int:
        """Hide the value of `<name>password</name><value>…</value>`."""
        text = self.text
        found = _TAG_AFTER.match(text, end)
        if found is None or not _TAG_BEFORE.search(text, max(0, start - 6), start):
            return 0
        inner = found["value"].strip()
        if inner and looks_secret(key, sense, inner):
            at = text.index(inner, found.start("value"))
            self.edits.append(Edit(at, at + len(inner), PLACEHOLDER))
        return found.end()

    def _attribute(self, start: int, end: int, key: str, sense: Sense) -> int:
        """Hide the value of `<property name="password" value="…"/>`, or what such an element holds."""
        text = self.text
        if text[start - 1 : start] not in ("'", '"') or text.rfind("<", max(0, start - 600), start) < 0:
            return 0
        if not _ATTRIBUTE_BEFORE.search(text, max(0, start - 600), start):
            return 0
        found = _ATTRIBUTE_AFTER.match(text, end)
        if found is None:
            return 0
        group = "value" if found["value"] else "text"
        inner = found[group].strip()
        if inner and looks_secret(key, sense, inner):
            at = text.index(inner, found.start(group))
            self.edits.append(Edit(at, at + len(inner), PLACEHOLDER))
        return found.end()

    # Templates

    def _in_template(self, start: int) -> bool:
        """Hide what an action writes out in place of a secret: `{{ .Values.password | default "…" }}`."""
        text = self.text
        opened = text.rfind("{{", max(0, start - 400), start)
        if opened < 0 or text.find("}}", opened, start) >= 0:
            return False
        end = text.find("}}", start, start + 2000)
        if end < 0:
            return False
        action = text[opened : end + 2]
        if text[start - 1 : start] in ("'", '"', "`") or self._is_edited(opened):
            return True
        shown = hide_literals(action)
        if shown != action:
            self.edits.append(Edit(opened, end + 2, shown))
        return True

    def _is_edited(self, at: int) -> bool:
        return bool(self.edits) and self.edits[-1].start <= at < self.edits[-1].end


def bare_placeholder(shown: str) -> bool:
    """Say whether a value was hidden before."""
    return shown.strip("\"', ") == PLACEHOLDER


def _opening(written: str, escaped: str | None) -> str:
    """Return the quotation mark that a value begins with, and the letters of Python before it."""
    if escaped:
        return written[: written.index(escaped) + len(escaped)]
    if written[:3] in ('"""', "'''") and len(written) > 6:
        return written[:3]
    mark = re.match(r"[fFrRbBuU]{0,2}[\"']", written)
    return mark[0] if mark else ""


def _keeping_quotes(before: str, shown: str) -> str:
    """Put a placeholder into the quotation marks that its value stood in."""
    if shown == PLACEHOLDER and before[:1] in ("'", '"') and before.count(before[0]) >= 2:
        return before[0] + shown + before[before.rindex(before[0]) :]
    return shown


def _is_in_parts(before: str, value: str) -> bool:
    """Say whether a name is one of several that semicolons separate, as in `Server=db;Password=…;Encrypt=true`."""
    written = before.rstrip(" \t")
    part = written[:-1].rpartition(";")[2] if written.endswith(";") else ""
    return bool(re.search(r"[\w ]=", part) or re.match(r"[^;]{0,512};[ \t]*\w[\w ]{0,64}=", value))


def _end_of_flow(text: str, at: int) -> int:
    """Return where a list or object ends that is no JSON: behind its last bracket, or where the line ends."""
    depth = 0
    last = min(len(text), at + _FLOW_LIMIT)
    for index in range(at, last):
        if text[index] in "{[":
            depth += 1
        elif text[index] in "}]":
            depth -= 1
            if depth == 0:
                return index + 1
    line_end = text.find("\n", at)
    return len(text) if line_end < 0 else line_end
