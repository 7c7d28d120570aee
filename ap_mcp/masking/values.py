"""Judges values: which reveal nothing under a secret's name, and which look like a secret under a doubtful one."""

import re

from ap_mcp.late_patterns import later
from ap_mcp.masking.names import Sense, is_name_of_key, words_of
from ap_mcp.masking.placeholders import PLACEHOLDER

_NOTHING = frozenset({"", "true", "false", "null", "none", "~", "nil", "yes", "no", "on", "off"})
_REFERENCE = later(
    r"\$\{(?:(?:env|sys|file|vault|secret|secrets|self|ssm|cf|opt|config):)?[\w.-]+(?::?[-?]|:)?\}|\$\([\w.-]+\)|\$[A-Z_][A-Z0-9_]*|\{\{-?\s*[.$][\w.]*\s*-?\}\}|%[A-Z_][A-Z0-9_]+%"
    r"|(?:vault|ref\+[\w]+|op|secretref|awssm|gcpsm|azurekv|keyvault|sops|file|env):/{0,3}[\w./#@+-]+"
    r"|arn:[\w-]+:(?:kms|secretsmanager|ssm|iam|acm)[\w:./*-]*|projects/[\w-]+/secrets/[\w/-]+",
    re.IGNORECASE,
)
_ALGORITHM = later(
    r"md5|sha-?(?:1|2|256|384|512)|bcrypt|scrypt|pbkdf2|argon2(?:id|i|d)?|[hrep]s(?:256|384|512)",
    re.IGNORECASE,
)
_PATH = later(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w@.-]+){2,}[/\\]?|(?:~|\.{1,2})/[\w@.-]+")
_FILE = later(
    r"[\w-]{1,64}(?:\.[\w-]{1,32}){0,3}\.(?:key|pem|crt|cert|cer|der|p12|pfx|jks|json|ya?ml|conf|cfg|ini|txt|pub|sh|env"
    r"|properties|toml|xml|log|gpg|asc|jwt|lic|enc|keystore|truststore|db)",
    re.IGNORECASE,
)  # fmt: skip
_ENTRY = later(r"[a-z]{2,20}(?:-[a-z]{2,20}){1,4}|[A-Z]{2,20}(?:_[A-Z]{2,20}){1,4}")
_LONGEST_ENTRY = 100
_PIECE = later(r"[A-Za-z0-9]{6,}")
_TURN = later(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_CAPITAL = later(r"(?<=[a-z])[A-Z]")
_VERSION = later(r"v?\d{1,4}(?:alpha|beta|rc)?\d{0,3}")
_LICENSE = later(r"[^\s/:]{16,}|.{80,}", re.DOTALL)
_LICENSE_NAME = later(r"[A-Za-z][A-Za-z-]{1,20}(?:-\d(?:\.\d){0,2})?(?:-[a-z-]{2,20})?|[A-Za-z ]{1,40}")
_LOGIN = later(r"[\w.@+-]{1,128}:[^\s/:]{3,256}")


def is_open(value: str) -> bool:
    """Say whether a value under a secret's name reveals nothing: empty, a switch, a reference, the name of a file."""
    bare = value.strip()
    if len(bare) > 300:
        return False
    if bare.lower() in _NOTHING or _ALGORITHM.fullmatch(bare) or _REFERENCE.fullmatch(bare):
        return True
    is_place = _PATH.fullmatch(bare) or _FILE.fullmatch(bare)
    return is_place is not None and not is_opaque(bare)


def names_itself(name: str, value: str) -> bool:
    """Say whether a value repeats words of its name, as that of an entry in a Secret does: `jwtSecret: jwt-secret`."""
    if len(value) > _LONGEST_ENTRY or not is_name_of_key(name) or _ENTRY.fullmatch(value) is None:
        return False
    return set(words_of(value)) <= set(words_of(name))


def is_opaque(text: str) -> bool:
    """Say whether a text looks made by a machine, and not of words, numbers and versions."""
    if "://" in text or text.startswith(("arn:", "sha256:", "{{")):
        return False
    return any(map(_is_random, _PIECE.findall(text[:4000]))) or "PRIVATE KEY" in text


def looks_secret(name: str, sense: Sense, value: str) -> bool:
    """Say whether a value is a secret by what its name announces and by its own look."""
    if sense is Sense.PLAIN or value == PLACEHOLDER:
        return False
    if sense is Sense.SECRET:
        return not (is_open(value) or names_itself(name, value))
    bare = value.strip()
    if sense is Sense.DIGITS:
        return bare.isdigit() and 4 <= len(bare) <= 12
    if is_open(bare):
        return False
    if sense is Sense.LICENSE:
        return _LICENSE.fullmatch(bare) is not None and not _LICENSE_NAME.fullmatch(bare)
    return is_opaque(bare) or (name.lower().endswith("auth") and _LOGIN.fullmatch(bare) is not None)


def _is_random(piece: str) -> bool:
    turns = len(_TURN.findall(piece))
    if turns >= 3 or (turns == 2 and len(piece) >= 12 and not piece.islower()):
        return _VERSION.fullmatch(piece) is None
    if piece.isdigit():
        return False
    capitals = len(_CAPITAL.findall(piece))
    return len(piece) > 28 or (len(piece) >= 12 and len(piece) < 3 * capitals)
