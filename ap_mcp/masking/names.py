"""Knows which names announce a secret, and which only describe one."""

import re
from functools import lru_cache


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# The last words of a name decide: a `password` is a secret, a `passwordPolicy` is not.
_NOUNS = _words(
    "password passwords passwd pwd passphrase passphrases passcode secret secrets token tokens credential credentials "
    "ak sk psk jwt cookie dockercfg dockerconfig dockerconfigjson apikey apikeys"
)
_PLURALS = frozenset({"secrets", "tokens", "passwords", "credentials"})
_KEY_OWNERS = _words(
    "access account admin aes api app application auth ca cipher client decryption encryption hmac jwt license master "
    "private root rsa secret security server service session shared signing ssh ssl storage tls webhook"
)
_GLUED = (
    "password", "passwd", "passphrase", "secret", "secrets", "token", "credential", "credentials",
    "secretkey", "accesskey", "privatekey", "apikey", "secretaccesskey", "accesskeyid", "sshkey", "clientkey",
)  # fmt: skip
_FILES = frozenset({"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"})
_FOREIGN = ("密码", "密钥", "口令", "令牌")

# Words that may follow the noun without changing what the value is.
_QUALIFIERS = _words(
    "value values data hash hashed base b encoded encrypted plain plaintext text string raw content contents "
    "first second third primary secondary old new current previous"
)
# Words before the noun that turn it into the name of a Secret, a place in a list, or a count.
_NAMING = {
    "secret": _words("existing pull tls external default"),
    "token": _words("next page continuation continue pagination sync"),
}
_COUNTING = _words("max min num total count has is use require required requires allow automount rotate")

_ABOUT = _words(
    "name names namespace namespaces ref refs type types kind mode policy path paths file files at time timestamp date "
    "seconds minutes hours days ttl expiry expires expiration count size length enabled optional status phase state "
    "version algorithm provider issuer url uri endpoint host port region description methods user username email "
    "audience scope format title language order"
)


def words_of(name: str) -> list[str]:
    """Split a name as people write it: `clientKeyData`, `client-key-data` and `CLIENT_KEY_DATA` are one."""
    return [word.lower() for word in _WORD.findall(name[-200:])]


@lru_cache(maxsize=4096)
def names_a_secret(name: str) -> bool:
    """Say whether what stands under this name is a secret."""
    if name in _FILES or any(each in name for each in _FOREIGN):
        return True
    words = words_of(name)
    if not words or (words[0] in _COUNTING and len(words) > 1):
        return False
    while len(words) > 1 and (words[-1] in _QUALIFIERS or words[-1].isdigit()):
        words.pop()
    if words[-1] == "id" and len(words) > 1:
        words.pop()
        return words[-1] in ("secret", "token") or words[-2:] == ["access", "key"] or words[-1].endswith("accesskey")
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _NOUNS:
        return before not in _NAMING.get(last.removesuffix("s"), ())
    return (last == "key" and before in _KEY_OWNERS) or (last == "pass" and before != "") or last.endswith(_GLUED)


@lru_cache(maxsize=1024)
def names_a_count(name: str) -> bool:
    """Say whether a bare number under this name only counts: a quota of `secrets`, the `tokens` used."""
    return words_of(name)[-1:] != [] and words_of(name)[-1] in _PLURALS


@lru_cache(maxsize=1024)
def describes_a_secret(name: str) -> bool:
    """Say whether this name, found below a secret, holds a fact about it rather than a part of it."""
    words = words_of(name)
    return bool(words) and (words[-1] in _ABOUT or words[0] in _COUNTING)
