"""Chooses the line of a log that says most about why a program failed, and what a known one means."""

import re

from ap_mcp.kubernetes.diagnose.model import any_of
from ap_mcp.vendor import quoted

LINE_LIMIT = 300
_RANKS = (
    re.compile(r"\b(?:fatal|panic|critical|emerg|crit)\b|^F\d{4}\b", re.IGNORECASE),
    re.compile(r"^[\w.$]*(?:Error|Exception)\b\s*[:(]|\bcaused by:|\bunhandled|\buncaught", re.IGNORECASE),
    re.compile(r"\b(?:error|err|exception|severe)\b|^E\d{4}\b|\w(?:Error|Exception)\b", re.IGNORECASE),
    re.compile(
        r"refused|denied|expired|forbidden|unauthorized|time(?:d )?-?out|no such|not found|cannot|can't|could not|"
        r"unable|fail|invalid|missing|unknown|in use|out of memory|format|segmentation|killed|not permitted|aborted",
        re.IGNORECASE,
    ),
    re.compile(r"\bwarn(?:ing)?\b|^W\d{4}\b", re.IGNORECASE),
)
_ERROR = 3
"""The rank of a line that says to be an error."""
_HARMLESS = re.compile(
    r"\b(?:no|0|zero|without) (?:errors?|failures?)\b|\b(?:errors?|failures?|failed)[=:] ?0\b|"
    r"\b(?:level|lvl|severity)\W{1,4}(?:info|debug|trace)\b|^\W*(?:info|debug|trace)\b|^I\d{4}\b",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"\s*(?:exit(?:ed)?(?: with)?(?: status| code)?:? ?-?\d+|command terminated.*|npm ERR! A complete log.*|"
    r"at [\w$.<>/ ()\[\]:-]+|\.\.\. \d+ (?:more|common frames).*|goroutine \d+ .*|[-=*#_^~\s]*|"
    r"make(?:\[\d+\])?: \*\*\* .*)",
    re.IGNORECASE,
)
UNRESOLVED = "a name does not resolve"
NO_LIBRARY = "the image lacks a library that its program needs"
NO_INTERPRETER = "its command, or the interpreter that the first line of it names, is not in the image"
MEANINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    (any_of("exec format error"), "the image is built for another processor"),
    (
        any_of("error while loading shared libraries", r"version `?GLIBC", "Error relocating", "Error loading shared"),
        NO_LIBRARY,
    ),
    (
        any_of(r"\bexec(?: user process caused| \S+)?: (?:\S+: )?no such file or directory"),
        NO_INTERPRETER,
    ),
    (any_of("no space left on device"), "a disk, or the ephemeral storage of the pod, is full"),
    (any_of(r"(?:address|port \d+ (?:is|was)) already in use", "EADDRINUSE"), "two processes of the pod want one port"),
    (
        any_of(
            r"forbidden: User \W*system:serviceaccount",
            "cannot (?:get|list|watch|create|update|patch|delete) resource",
        ),
        "its ServiceAccount lacks a Role for that",
    ),
    (
        any_of(
            *("no such host", "name or service not known", "temporary failure in name resolution", r"\bENOTFOUND\b"),
            *(r"\bEAI_AGAIN\b", "could not resolve host", "server misbehaving", "nodename nor servname"),
            *("UnknownHostException", "could not translate host name", "name does not resolve", "bad address '"),
            *("host not found", r"unknown \w+ server host", "failed to lookup address", r"gaierror\b"),
            r"\blookup \S+ on \S+: .*i/o timeout",
        ),
        UNRESOLVED,
    ),
    (
        any_of(
            *(
                "certificate has expired",
                "x509: certificate",
                "certificate verify failed",
                "PKIX path",
                "CERT_HAS_EXPIRED",
            ),
            *(r"self[- ]signed certificate", "unable to (?:verify the first|get local issuer) certificate"),
        ),
        "a certificate is not accepted",
    ),
    (
        any_of(
            *("password authentication failed", r"access denied for user", r"\bNOAUTH\b", r"\bWRONGPASS\b"),
            *("authentication failed", "invalid (?:username|password|credentials)", "login failed"),
        ),
        "what it depends on does not accept its credentials",
    ),
    (
        any_of(
            *("OutOfMemoryError", "cannot allocate memory", "heap out of memory", r"\bMemoryError", r"\bout of memory"),
            *("could not reserve enough space", "insufficient memory for"),
        ),
        "it needs more memory",
    ),
    (any_of("read-only file system", r"\bEROFS\b"), "it writes where it must not"),
    (
        any_of(r"\bpermission denied", r"\bEACCES\b", r"\bEPERM\b", "operation not permitted"),
        "the user that it runs as may not do that",
    ),
    (any_of("too many (?:clients|connections)"), "what it depends on takes no more connections"),
    (any_of("connection refused", "ECONNREFUSED"), "what it depends on does not answer"),
    (
        any_of(r"\bETIMEDOUT\b", "connect(?:ion)? timed out", "i/o timeout", "no route to host", r"\bEHOSTUNREACH\b"),
        "what it depends on cannot be reached",
    ),
)
"""What lines mean that every program writes alike; what tells more comes first."""


def telling_line(log: str) -> str:
    """Return the line of a log, oldest first, that looks most like an error; of several alike the newest."""
    lines = [line.strip() for line in log.splitlines() if not _EMPTY.fullmatch(line)]
    best = max(range(len(lines)), key=lambda at: (_rank(lines[at]), at), default=None)
    return "" if best is None else lines[best]


def looks_like_error(line: str) -> bool:
    """Say whether a line says that something went wrong."""
    return _rank(line) > 1


def meaning_of(line: str) -> str:
    """Return what a line means that every program writes alike; empty if it is not known."""
    return next((meaning for pattern, meaning in MEANINGS if pattern.search(line)), "")


def said_in_log(log: str | None) -> str:
    """Return what a log adds to a sentence: its telling line in quotes, and what that means; empty without a log."""
    line = telling_line(log or "")
    if not line:
        return ""
    meaning = meaning_of(line)
    return f": {quoted(line, LINE_LIMIT)}{f' ({meaning})' if meaning else ''}"


def _rank(line: str) -> int:
    if _HARMLESS.search(line):
        return 0
    of = next((len(_RANKS) - at for at, pattern in enumerate(_RANKS) if pattern.search(line)), 0)
    if _RANKS[-1].search(line):
        return of * 2
    # A line that means something says more than one that announces an error.
    of = max(of, _ERROR) if meaning_of(line) else min(of, _ERROR - 1) if line.endswith(":") else of
    return of * 2 + (1 if of > 2 and _RANKS[3].search(line) else 0)
