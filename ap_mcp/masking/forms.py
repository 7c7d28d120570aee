"""Hides what is a secret by its form, whatever it is called: keys, tokens, hashes of passwords, addresses that open.

Every pattern is linear: it starts at a boundary, and its repetitions have a bound or end at the first other character.
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import groupby

from ap_mcp.late_patterns import later
from ap_mcp.masking.hints import occurrences, runs
from ap_mcp.masking.names import Sense, sense_of
from ap_mcp.masking.placeholders import PLACEHOLDER
from ap_mcp.masking.token_forms import TOKEN_FORMS
from ap_mcp.masking.values import is_opaque

_SHORT_PREFIX = later(r"sk-(?!ant-|proj-|svcacct-|admin-|or-v1-|lf-)|fc-")
_TOKENS = {
    prefix: later(f"{alphabet}{{{least},}}", re.ASCII)
    for alphabet, least, prefixes in TOKEN_FORMS
    for prefix in prefixes.split()
}
_RUN = b"a" * 13
"""Every token has a run of so many letters and digits, or its prefix stands right before one."""
_KEY_BLOCK = later(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?|OpenVPN Static key V\d)-----.*?"
    r"(?:-----END (?P=kind)-----|\Z)",
    re.DOTALL,
)
_PUTTY = later(r"(?P<head>Private-Lines: \d{1,4}\s{1,4})[A-Za-z0-9+/=]{8,}(?:\s{1,4}[A-Za-z0-9+/=]{8,})*(?![\w-])")
_JOSE = later(r"(?<![\w+/-])(?:eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3}|MII[A-Za-z0-9+/_-]{100,}={0,2})")
_CRYPT = later(
    r"\$(?:2[abxy]?|apr1|1|5|6|7|y|gy|md5|sha1|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]{0,20}|bcrypt-sha256)\$[\w./$=,+-]{8,}"
    r"|\{(?:S?SHA(?:224|256|384|512)?|S?MD5|CRYPT|PBKDF2[\w-]{0,20}|ARGON2)\}[\w./$=,+-]{8,}"
)
_DERIVED = later(r"SCRAM-SHA-(?:1|256|512)\$\d{1,9}:[\w./$=:+-]{16,}|pbkdf2[:_]sha\d{1,3}[:$][\w./$=:+-]{16,}")
_TELEGRAM = later(r"(?<![\w.-])(?P<head>\d{8,10}:)AA[\w-]{30,}", re.ASCII)
_AZURE = later(r"(?<![\w.~-])[\w.~]{3}\dQ~[\w.~-]{24,}", re.ASCII)
_ORACLE = later(r"(?P<head>:thin:[^\s/@:]{1,64}/)[^\s@]{1,256}(?=@)")
_IDENTIFIED = later(
    r"(?P<head>\bIDENTIFIED[ \t]{1,3}(?:WITH[ \t]{1,3}\S{1,64}[ \t]{1,3})?(?:BY|AS)[ \t]{1,3}(?:PASSWORD[ \t]{1,3})?)"
    r"(?P<quote>['\"]?)[^'\"\s;]{1,256}",
    re.IGNORECASE,
)
_SECURE_STRING = later(r"(?P<head>ConvertTo-SecureString[ \t]{1,3}(?:-String[ \t]{1,3})?[\"'])[^\"'\r\n]{1,256}")
_STATS = later(r"(?P<head>\bstats[ \t]{1,8}auth[ \t]{1,8}[^\s:]{1,128}:)\S{1,256}")
_SAS = later(r"(?<![\w-])(?P<head>sig=)[\w%+/=.-]{16,}")
# The middle of a line of pgpass, which has no name: port, database, user.
_PGPASS = later(r":(?:\d{3,5}|\*):[^:\s]{1,64}:[^:\s]{1,64}:(?P<value>[^\r\n]{1,256})$", re.MULTILINE)
_PGPASS_HOST = later(r"[ \t]*(?:[\w-]{1,64}\.[\w.-]{1,200}|[A-Za-z][\w-]{0,63}|\*)")
_JAAS_USER = later(r"(?P<head>\buser_[\w.-]{1,128}=\\{0,8}[\"'])[^\"'\\\r\n]{1,256}(?P<tail>\\{0,8}[\"'])")
_ACL_USER = later(r"(?:user|SETUSER)[ \t]+\S{1,128}[ \t].{1,1000}", re.IGNORECASE)
_ACL_PASSWORD = later(r"(?<=[ \t])(?P<head>[>#])(?P<value>[^\s\"'|&]{1,256})")

_SCHEME = later(r"[A-Za-z][A-Za-z0-9+.-]{0,30}\Z")
_URL = r"(?P<head>[A-Za-z][A-Za-z0-9+.-]{0,30}://"
# Behind it a host must follow: a password may hold an `@` too, and then more of it does.
_HOST_AFTER = r"(?=(?:\[[^\]\s]{1,64}\]|[^\s/?#@:\"'<>]{0,256}+)(?::\d{0,5}+(?!\w)|:\$|(?!:)))"
_USERINFO = later(_URL + rf"[^\s/?#@:\"'<>]{{0,256}}:)[^\s/?#\"'<>]{{1,512}}@{_HOST_AFTER}")
_UNESCAPED_USERINFO = later(
    _URL + rf"[^\s/?#@:\"'<>]{{0,256}}:)(?!{PLACEHOLDER}@|\d{{1,5}}(?:[/?#]|$))[^\s\"'<>]{{1,128}}@"
)
_TOKEN_USER = later(_URL + r")[^\s/?#@:\"'<>]{16,512}@")
_WHOLE_URL = later(r"://[^\s\"'<>\\{}]{0,4000}")
_DSN = later(r"(?<![\w.-])(?P<head>[\w.-]{1,64}:)[^\s\"']{1,256}(?P<tail>@(?:tcp|udp|unix)\()")
_QUERY = later(r"(?P<head>[?&;](?P<name>[\w.%~-]{1,128})=)(?P<value>[^&\s\"'<>#]+)")
_QUERY_NAMES = frozenset({"sig", "signature", "x-amz-signature", "x-goog-signature", "x-obs-signature", "code", "key",
                          "hash", "auth", "sid", "session", "sessionid", "sendkey", "pwd"})  # fmt: skip
# Hosts whose addresses of a certain form need no further sign-in: who knows the path may post.
_OPENING_PATH = later(
    r"(?P<head>/services/T\w+/B\w+/|/(?:api/)?webhooks/\d+/|/webhookb?2?/(?=[0-9a-f-]{32,})|/open-apis/bot/(?:v2/)?hook/"
    r"|/bot(?=\d{5,}:)|/hooks/catch/\d+/|/trigger/[\w-]+/(?:json/)?with/key/|/incomingwebhook/|/robot/send/)[^?#]+",
    re.IGNORECASE,
)
_OPENING = later(
    r"hook|/services/|/triggers?/|hc-ping\.|/robot/|/bot\d|pushbullet|ifttt|/push/|/integrations?/|api\.day\.app/|ftqq",
    re.IGNORECASE,
)


def has_runs(text: str) -> bool:
    """Say whether a word stands in a text that is long enough for a token."""
    return _RUN in runs(text)


def hide_forms(text: str) -> str:
    """Return `text` without what its form alone gives away."""
    if has_runs(text):
        text = _hide_tokens(text)
        if "eyJ" in text or "MII" in text:
            text = _hide_at(text, ("eyJ", "MII"), _JOSE, lambda _: PLACEHOLDER)
    if "PRIVATE KEY" in text or "Static key" in text:
        text = _KEY_BLOCK.sub(PLACEHOLDER, text)
    if "Private-Lines" in text:
        text = _PUTTY.sub(rf"\g<head>{PLACEHOLDER}", text)
    if ":AA" in text:
        text = _TELEGRAM.sub(rf"\g<head>{PLACEHOLDER}", text)
    if "Q~" in text:
        text = _AZURE.sub(PLACEHOLDER, text)
    if "sig=" in text:
        text = _hide_at(text, ("sig=",), _SAS, lambda match: match["head"] + PLACEHOLDER)
    if "://" in text:
        text = _hide_in_urls(text)
    if "@" in text and ("@tcp(" in text or "@unix(" in text or "@udp(" in text):
        text = _DSN.sub(rf"\g<head>{PLACEHOLDER}\g<tail>", text)
    return _hide_in_files(_hide_hashes(text))


def _hide_hashes(text: str) -> str:
    """Hide hashes of passwords: who has one can try passwords until one fits."""
    if "$" in text or "{" in text:
        text = _CRYPT.sub(PLACEHOLDER, text)
    if "SCRAM-SHA" in text or "pbkdf2" in text:
        text = _hide_at(text, ("SCRAM-SHA", "pbkdf2"), _DERIVED, lambda _: PLACEHOLDER)
    return text


def _hide_in_files(text: str) -> str:
    """Hide passwords in files that give them no name: pgpass, or one of their own: Redis, JAAS, SQL, HAProxy."""
    if ":" in text and text.count(":") >= 4:
        text = _PGPASS.sub(_hide_last_field, text)
    if "user " in text and (" >" in text or " #" in text):
        text = _hide_at(text, ("user ", "SETUSER "), _ACL_USER, _hide_acl)
    if ":thin:" in text:
        text = _ORACLE.sub(rf"\g<head>{PLACEHOLDER}", text)
    if "IDENTIFIED" in text or "identified" in text:
        text = _IDENTIFIED.sub(rf"\g<head>\g<quote>{PLACEHOLDER}", text)
    if "SecureString" in text:
        text = _SECURE_STRING.sub(rf"\g<head>{PLACEHOLDER}", text)
    if "stats" in text:
        text = _STATS.sub(rf"\g<head>{PLACEHOLDER}", text)
    if "LoginModule" in text:
        text = _JAAS_USER.sub(rf"\g<head>{PLACEHOLDER}\g<tail>", text)
    return text


def _hide_tokens(text: str) -> str:
    found: list[tuple[int, int, str]] = []
    done = 0
    for prefix in _prefixes(escaped="\\" in text).finditer(text):
        start = prefix.start()
        if start < done or _is_inside_word(text, start):
            continue
        token = _TOKENS[prefix[0]].match(text, prefix.end())
        if token is not None:
            done = token.end()
            found += [] if _is_words(text[start:done]) else [(start, done, PLACEHOLDER)]
    return _without(text, found) if found else text


@cache
def _prefixes(*, escaped: bool) -> re.Pattern[str]:
    """Return a pattern of all prefixes, as a tree of their letters; made at the first use.

    Args:
        escaped: line breaks may be written out, and the letter of one stand right before a prefix.
    """
    return re.compile(("" if escaped else r"(?<![A-Za-z0-9])") + _tree(sorted(_TOKENS)))


def _tree(words: list[str]) -> str:
    """Return a pattern of some sorted words in which each letter is read once; the longest that fits wins."""
    branches = []
    for letter, group in groupby((word for word in words if word), key=lambda word: word[0]):
        branches.append(re.escape(letter) + _tree([word[1:] for word in group]))
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)}){'?' if '' in words else ''}"


def _is_inside_word(text: str, at: int) -> bool:
    """Say whether a word began before a place; a line break that is written out is no part of it."""
    before = text[at - 1 : at]
    return before.isascii() and before.isalnum() and text[max(0, at - 2) : at] not in ("\\n", "\\r", "\\t")


def _is_words(token: str) -> bool:
    """Say whether words follow a short prefix: `sk-learn-something-else`."""
    return token.count("-") > 2 and _SHORT_PREFIX.match(token) is not None and not is_opaque(token)


def _hide_at(
    text: str, literals: tuple[str, ...], pattern: re.Pattern[str], shown: Callable[[re.Match[str]], str]
) -> str:
    """Replace what a pattern matches where one of some literals stands, with which it begins."""
    found = [match for at in occurrences(text, literals) if (match := pattern.match(text, at)) is not None]
    return _without(text, [(match.start(), match.end(), shown(match)) for match in found])


def _without(text: str, edits: list[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    done = 0
    for start, end, shown in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
        if start >= done:
            parts += [text[done:start], shown]
            done = end
    return "".join([*parts, text[done:]])


def _hide_last_field(match: re.Match[str]) -> str:
    """Hide the password at the end of a line of pgpass, if a host stands at its beginning."""
    text, start = match.string, match.start()
    line = text[max(text.rfind("\n", max(0, start - 256), start) + 1, start - 256) : start]
    if match["value"].strip() in ("", PLACEHOLDER) or _PGPASS_HOST.fullmatch(line) is None:
        return match[0]
    return match[0][: match.start("value") - start] + PLACEHOLDER


def _hide_acl(match: re.Match[str]) -> str:
    line = match[0]
    if not re.search(r"[ \t](?:on|off|nopass|resetpass|~\S*|[+&-]@?\S+)(?:[ \t]|$)", line):
        return line
    return _ACL_PASSWORD.sub(rf"\g<head>{PLACEHOLDER}", line)


def _hide_in_urls(text: str) -> str:
    parts: list[str] = []
    done = 0
    at = text.find("://")
    while at >= 0:
        scheme = _SCHEME.search(text, max(done, at - 31), at)
        if scheme is None:
            at = text.find("://", at + 3)
            continue
        found = _WHOLE_URL.match(text, at)
        end = found.end() if found else at + 3
        url = text[scheme.start() : end]
        parts += [text[done : scheme.start()], _hide_in_url(url)]
        done = end
        at = text.find("://", end)
    return "".join([*parts, text[done:]])


def _hide_in_url(url: str) -> str:
    """Hide what in an address signs a caller in: user and password, parts of the query, the path of a webhook."""
    if "@" in url:
        for pattern in (_USERINFO, _UNESCAPED_USERINFO, _TOKEN_USER):
            url = pattern.sub(rf"\g<head>{PLACEHOLDER}@", url)
    if "=" in url:
        url = _QUERY.sub(_hide_query, url)
    return _hide_path(url) if _OPENING.search(url) else url


def _hide_query(match: re.Match[str]) -> str:
    name = match["name"]
    sense = sense_of(name)
    doubtful = sense is Sense.PERHAPS or name.lower() in _QUERY_NAMES
    hides = sense is Sense.SECRET or (doubtful and is_opaque(match["value"]))
    return match["head"] + PLACEHOLDER if hides else match[0]


def _hide_path(url: str) -> str:
    """Hide the end of a path that nobody may know: from the first part on that no person chose."""
    known = _OPENING_PATH.search(url, url.find("://") + 3)
    if known is not None:
        return url[: known.end("head")] + PLACEHOLDER + url[known.end() :]
    path, mark, query = url.partition("?")
    marker = _OPENING.search(path)
    parts = path.split("/")
    seen = 0
    for index, part in enumerate(parts):
        seen += len(part) + 1
        if index > 2 and marker is not None and seen > marker.end() and is_opaque(part.partition("@")[0]):
            return "/".join([*parts[:index], PLACEHOLDER]) + mark + query
    return url
