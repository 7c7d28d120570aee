"""Hides what is written out in templates of Go and Helm, and leaves them valid: `{{ .Values.pw | default "…" }}`."""

import re

from ap_mcp.late_patterns import later
from ap_mcp.masking.placeholders import PLACEHOLDER

# What follows these is a path, a format or a message.
_HARMLESS = frozenset(
    (
        *("include", "tpl", "required", "lookup", "printf", "index", "get", "hasKey", "fail", "dict", "template"),
        *("set", "dig", "pluck", "trimSuffix", "trimPrefix", "replace", "eq", "ne", "regexMatch", "contains"),
        *("hasPrefix", "hasSuffix", "join", "split", "splitList", "key", "keyOrDefault", "secret", "with", "env"),
        *("file", "readFile", "range", "Get", "exec", "define", "block", "list", "kindIs", "typeIs", "until"),
        *("trimAll", "indent", "nindent", "toYaml", "fromYaml", "merge"),
    )
)
_STEP = later(
    r"(?P<open>\\{0,8}[\"`])(?P<text>(?:(?!(?P=open))(?:\\.|.)){0,4000}?)(?P=open)|(?P<word>[.$]?[A-Za-z_][\w.]*)"
    r"|(?P<mark>[(|)])",
    re.DOTALL,
)
_EDGE = later(r"(?P<lead>[\s\"'\\]*)(?P<body>.*?)(?P<tail>[\s\"'\\,]*)", re.DOTALL)


def is_template(text: str) -> bool:
    """Say whether a text holds a template."""
    opened = text.find("{{")
    return opened >= 0 and text.find("}}", opened) >= 0


def hide_in_template(text: str) -> str:
    """Return the value of a secret that is made by templates, with all that is written out in it replaced."""
    parts: list[str] = []
    done = 0
    while (start := text.find("{{", done)) >= 0 and (end := text.find("}}", start)) >= 0:
        parts += [_hide_around(text[done:start]), hide_literals(text[start : end + 2])]
        done = end + 2
    return "".join([*parts, _hide_around(text[done:])])


def hide_literals(action: str) -> str:
    """Return one action of a template with the texts replaced that could be a value."""
    function = ""
    parts: list[str] = []
    done = 0
    for step in _STEP.finditer(action):
        if step["mark"]:
            function = ""
        elif step["word"]:
            if not function and step["word"][0] not in ".$":
                function = step["word"]
            elif step["word"][0] == "." and step["word"].endswith(".Get"):
                function = "Get"
        elif function not in _HARMLESS and step["text"].strip():
            parts += [action[done : step.start()], step["open"], PLACEHOLDER, step["open"]]
            done = step.end()
    return "".join([*parts, action[done:]])


def _hide_around(text: str) -> str:
    """Replace what stands beside a template, if it is more than a mark of punctuation."""
    edge = _EDGE.fullmatch(text)
    if edge is None or not any(map(str.isalnum, edge["body"])) or edge["body"] == PLACEHOLDER:
        return text
    return edge["lead"] + PLACEHOLDER + edge["tail"]
