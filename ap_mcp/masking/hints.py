"""Finds the places of a text where a secret or its name may stand: far cheaper than any pattern, also in a megabyte."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from ap_mcp.late_patterns import later


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


# Every name of which names.py makes a secret, or may, holds one of these.
_HINTS = _words(
    "pass pw secret token key cred auth cookie salt pin psk jwt dsn licen seed mnemonic netrc dockerc secure sensitiv "
    "confidential pepper macaroon clave sifra lozinka zugang khau segret geheim "
    "id_ wort woord woert contrase senha segredo losenord adgang salasana slo jelszo parol "
    "sifre"
)
_SHORT = ("ak", "sk")
"""Names that are sought as whole words only."""
# Of a word that has other letters too, what is not ASCII is enough to read on.
_FOREIGN = tuple(
    written
    for hint in _words(
        "密码 密碼 密钥 密鑰 秘钥 私钥 口令 令牌 凭证 凭据 パスワード 暗証番号 トークン シークレット 秘密鍵 "
        "비밀번호 비밀키 암호 토큰 пароль секрет токен סיסמה المرور รหัสผ่าน पासवर्ड πρόσβασης ł ş ö ó ñ ẩ"
    )
    for written in sorted({hint, hint.capitalize(), hint.upper(), unicodedata.normalize("NFD", hint)})
    if not written.isascii()
)
_NOT_ASCII = later(r"[^\x00-\x7f]+")
_RUNS = bytes(97 if chr(each).isalnum() or chr(each) in "+/_-" else 32 for each in range(128)) + b" " * 128


class Hints:
    """What of a text deserves to be read closely.

    Args:
        text: any text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        ascii_text = text if text.isascii() else text.encode("ascii", "replace").decode("ascii")
        self.lowered = ascii_text.lower()  # as long as the text, whatever is in it

    def any(self) -> bool:
        """Say whether the text may name a secret at all."""
        lowered = self.lowered
        for hint in _HINTS:  # every text passes here, and a loop takes half of what any() does
            if hint in lowered:
                return True
        if ("ak" in lowered or "sk" in lowered) and next(self._short(), None) is not None:
            return True
        return bool(self._foreign())

    def places(self) -> list[int]:
        """Return where it may, in order."""
        found = set(occurrences(self.lowered, _HINTS))
        found.update(self._short())
        found.update(occurrences(self.text, self._foreign()))
        return sorted(found)

    def _foreign(self) -> list[str]:
        """Return the foreign words that stand there; most texts have few letters that are not ASCII."""
        if self.text.isascii():
            return []
        others = " ".join(dict.fromkeys(_NOT_ASCII.findall(self.text)))
        return [each for each in _FOREIGN if each in others]

    def _short(self) -> Iterator[int]:
        lowered = self.lowered
        for at in occurrences(lowered, _SHORT):
            if not (lowered[at - 1 : at].isalpha() or lowered[at + 2 : at + 3].isalpha()):
                yield at


def occurrences(text: str, wanted: Iterable[str]) -> Iterator[int]:
    """Yield where any of some texts stands in another one; not in order."""
    for each in wanted:
        at = text.find(each)
        while at >= 0:
            yield at
            at = text.find(each, at + 1)


def next_at(places: list[int], position: int) -> int:
    """Return the index of the first place at or behind a position."""
    return bisect_left(places, position)


def runs(text: str) -> bytes:
    """Return an image of a text, as long as it is, in which what may be base64 or a token is `a`, the rest a blank."""
    return text.encode("ascii", "replace").translate(_RUNS)
