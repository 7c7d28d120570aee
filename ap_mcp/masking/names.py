"""Knows which names announce a secret, which may, and which only describe one or name where it is kept.

A name is split into words as people write it, and its last words decide: a `password` is a secret, a `passwordPolicy`
is not. The lists hold words, never whole parameters of a chart.
"""

import unicodedata
from enum import IntEnum

from ap_mcp.late_patterns import later
from ap_mcp.wording import remembered


class Sense(IntEnum):
    """What a name says about the value below it."""

    PLAIN = 0
    """Nothing, or a fact about a secret."""
    PERHAPS = 1
    """A secret if it looks like one: `routingKey`, `tlsSecret`, `passwordKey`."""
    DIGITS = 2
    """A secret if it is a number: `pin`."""
    LICENSE = 3
    """A secret unless it is the short name of a licence."""
    SECRET = 4


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


_WORD = later(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_NOUNS = _words(
    "password passwords passwd pwd pw pass passphrase passphrases passcode passcodes secret secrets token tokens "
    "credential credentials cred creds ak sk psk jwt cookie cookies salt dockercfg dockerconfig dockerconfigjson "
    "apikey apikeys pepper macaroon htpasswd netrc pgpass mnemonic keytab"
)
_PLURALS = frozenset({"secrets", "tokens", "passwords", "credentials"})
# Who owns a key that must not be known; any other `…Key` is judged by its value.
_KEY_OWNERS = _words(
    "access account admin aes api app application auth bearer bot ca cipher client consumer container cookie csrf "
    "crypt crypto decryption deterministic developer ecdsa enc encoded encrypt encryption erlang fernet flask "
    "gossip hmac host ingest ingestion instrumentation integration jwe jws jwt license licence login machine master "
    "oauth priv private "
    "preshared psk recovery register registration replica replicaset root rsa saml seal secret secrets security server "
    "serverless service "
    "session shared signature signing sign ssh ssl storage stream subscription tls trust tsig unseal user "
    "vapid webhook wireguard worker write xsrf"
)
_CRYPTO = _words("apikey apikeys encryption decryption signing private unseal fernet cipher")
_PUBLIC_KEYS = _words("public pub topology annotation label region partition sort group tag foreign index authorized")
_GLUED = (
    "password", "passwords", "passwd", "passphrase", "passcode", "secret", "secrets", "token", "credential",
    "credentials", "creds", "cookie", "secretkey", "accesskey", "privatekey", "apikey", "secretaccesskey",
    "accesskeyid", "sshkey", "clientkey", "signingkey", "encryptionkey", "fernetkey", "licensekey", "masterkey",
    "accountkey", "sharedkey", "storagekey", "authkey", "requirepass", "masterauth", "seedphrase", "sessionkey",
    "salt", "webhookkey", "servicekey", "containerkey", "encodedkey", "recoverykey", "unsealkey", "unsealkeys",
)  # fmt: skip
_NO_PASS = ("bypass", "compass", "overpass", "trespass", "underpass", "multipass", "lowpass", "highpass", "bandpass")
_FILES = frozenset({"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"})
# The same in other languages; accents are taken away before they are compared.
_FOREIGN = tuple(
    unicodedata.normalize("NFKD", each)
    for each in (
        *("密码", "密碼", "密钥", "密鑰", "秘钥", "私钥", "口令", "令牌", "凭证", "凭据"),
        *("パスワード", "暗証番号", "トークン", "シークレット", "秘密鍵", "비밀번호", "암호", "토큰", "비밀키"),
        *("пароль", "секрет", "токен", "סיסמה", "سر المرور", "كلمة المرور", "รหัสผ่าน", "पासवर्ड", "κωδικός πρόσβασης"),
    )
)
_FOREIGN_LATIN = (
    "passwort", "passworter", "passwoerter", "kennwort", "geheimnis", "motdepasse", "contrasena", "contrasenya",
    "contrasenha", "clavesecreta", "llavesecreta", "chiavesegreta", "zugangsdaten", "lozinka", "matkhau",
    "segredo", "palavrapasse", "wachtwoord", "losenord", "passord", "adgangskode", "salasana", "jelszo",
)  # fmt: skip
_SHORT_LATIN = _words(
    "clave geheim sifra haslo heslo geslo senha parola parole sifre"
)  # too short to be sought inside of a word

_LETTERS = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "ı": "i", "ß": "ss", "æ": "ae"})

# Words that may follow the noun without changing what the value is.
_QUALIFIERS = _words(
    "value values data hash hashed sha hex base b bcrypt pem der encoded encrypted plain plaintext text string "
    "raw json content contents "
    "first second third primary secondary old new current previous literal inline default "
    "admin viewer editor reader writer readonly operator prod production dev staging live sandbox"
)
GENERIC = _words("key keys value content contents data text raw plain plaintext literal string hash inline")
"""Names that say nothing without the one above them."""
# Words before the noun that turn it into the name of a Secret, a place in a list, or a count.
_NAMING = {
    "secret": _words("pull tls external default"),
    "tokens": _words("server next page"),
    "token": _words("next page continuation continue pagination sync"),
    "cookie": frozenset(),
}
_REFERRING = _words("existing")
# What a Secret of Kubernetes holds: `certificatesSecret` is its name, and judged by its look.
_HELD = _words(
    "ca cert certs certificate certificates ssl config configuration conf script scripts env envs vars volume "
    "password passwords credential credentials creds keystore truststore jks definition kubernetes bundle mount "
    "custom image registry users user key keys token tokens server node peer xml ini json yaml file files account "
    "db database dashboards overrides license licence rules scrape bearer basic from"
)
_HELD_KEYS = _words(
    "password passwords pass user username name id token account key keystore truststore login cert ca crt config "
    "client connection cookie credential credentials uri url host string passphrase secrets"
)
_COUNTING = _words(
    "max min num total count has is use require required requires allow automount rotate enable disable disabled "
    "enabled skip force show hide generate create"
)
_GUARDED = _words("secure sensitive secret secrets confidential")
_HOLDING = _words("json settings config configuration env envs vars variables environment params parameters overrides")

_PASSING = _words("proxy fastcgi uwsgi grpc scgi single multi low high band")
_PHRASES = _words("seed pass recovery secret")
_BY_LOOK = dict.fromkeys(("signature", "sig", "seed", "dsn", "jwk", "jwks", "auth", "keystore"), Sense.PERHAPS) | {
    "pin": Sense.DIGITS,
    "mpin": Sense.DIGITS,
    "license": Sense.LICENSE,
    "licence": Sense.LICENSE,
}

_ABOUT = _words(
    "name names namespace namespaces ref refs type types kind mode policy path paths file files filename at time "
    "timestamp date seconds minutes hours days ttl expiry expires expiration count size length enabled optional status "
    "phase state version algorithm alg provider issuer url uri endpoint host port region description methods user "
    "users "
    "username email audience aud scope scopes format title language order annotations labels encoding bucket server "
    "registry realm domain tenant create items certificate certificates cert crt ca chain store class group role "
    "mechanism method plugin prefix template mount duration lifetime period schedule issued mtime pub "
    "account login uuid"
)
_ABOUT_IDS = _words("client app application tenant project account user org organization key object subscription")


def words_of(name: str) -> list[str]:
    """Split a name as people write it: `clientKeyData`, `client-key-data` and `CLIENT_KEY_DATA` are one."""
    return [word.lower() for word in _WORD.findall(_without_accents(name[-200:]))]


@remembered(8192)
def sense_of(name: str) -> Sense:
    """Say what a name announces about its value."""
    if name in _FILES or not name.isascii():
        foreign = unicodedata.normalize("NFKD", name).casefold().replace("_", " ")
        if name in _FILES or any(each in foreign for each in _FOREIGN):
            return Sense.SECRET
    if "." in name:
        name = _last_parts(name)
    words = words_of(name)
    if not words or _REFERRING.intersection(words) or (words[0] in _COUNTING and len(words) > 1):
        return Sense.PLAIN
    if "/" in name and words[-1] == "secret":  # an annotation: it names one
        return Sense.PERHAPS
    if _GUARDED.intersection(words[:-1]) and _is_content(words):
        return Sense.SECRET
    while len(words) > 1 and (words[-1] in _QUALIFIERS or words[-1].isdigit()):
        is_number = words.pop().isdigit()
        if is_number and words[-1] == "v" and len(words) > 1:
            words.pop()
    return _sense_of_words(words)


def _last_parts(name: str) -> str:
    """Return the part of a dotted name that says what it is: of `app.db.password` the last, of `tls.key` both."""
    parts = [part for part in name.rsplit(".", 2)[-2:] if part]
    return " ".join(parts) if parts and parts[-1].lower() in GENERIC else "".join(parts[-1:])


def _sense_of_words(words: list[str]) -> Sense:
    """Judge a name by the last of its words that says what it is."""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in ("id", "accesskeyid"):
        return Sense.SECRET if last != "id" or _is_id_of_key(words[:-1]) else Sense.PLAIN
    if last in ("secret", "secrets") and before:
        return _sense_of_secret(words, before)
    if last in ("key", "keys"):
        return _sense_of_key(words, before)
    if last in _NOUNS:
        naming = _PASSING if last == "pass" else _NAMING.get(last) or _NAMING.get(last.removesuffix("s"), frozenset())
        return Sense.PLAIN if before in naming else Sense.SECRET
    if (last, before) in (("users", "auth"), ("word", "pass")) or (last == "phrase" and before in _PHRASES):
        return Sense.SECRET
    return _BY_LOOK.get("keystore" if (before, last) == ("key", "store") else last) or _sense_of_glued(words)


def _is_id_of_key(words: list[str]) -> bool:
    return words[-1:] in (["secret"], ["token"], ["accesskey"]) or words[-2:] == ["access", "key"]


def _sense_of_secret(words: list[str], before: str) -> Sense:
    """Judge a `…Secret`: a secret itself, or the name of one in Kubernetes that holds something."""
    if before in _NAMING["secret"]:
        return Sense.PLAIN
    if words[-3:-1] == ["access", "key"]:
        return Sense.SECRET
    return Sense.PERHAPS if before in _HELD or words[-3:-1] == ["basic", "auth"] else Sense.SECRET


def _sense_of_key(words: list[str], before: str) -> Sense:
    """Judge a `…Key`: of what it is the key decides, or that it is the key of an entry in a Secret."""
    if before in _PUBLIC_KEYS:
        return Sense.PLAIN
    of_entry = before == "secret" and len(words) > 2 and words[-3] in _HELD_KEYS
    of_noun = before in _NOUNS and before not in _KEY_OWNERS
    if not before or of_entry or of_noun or before == "user" or (before == "ssh" and words[-1] == "keys"):
        return Sense.PERHAPS
    of_replicas = before == "set" and "replica" in words
    owned = before in _KEY_OWNERS or before.endswith(_GLUED) or of_replicas or _CRYPTO.intersection(words)
    return Sense.SECRET if owned else Sense.PERHAPS


def _sense_of_glued(words: list[str]) -> Sense:
    """Judge a name whose words are written as one: `bindpw`, `accesskeysecret`, `motDePasse`."""
    last, whole = words[-1], "".join(words)
    if last.endswith(_GLUED) or (len(last) > 4 and last.endswith("pw")):
        return Sense.SECRET
    if len(last) > 5 and last.endswith("pass") and not last.endswith(_NO_PASS):
        return Sense.SECRET
    if last in _SHORT_LATIN or whole.endswith(_FOREIGN_LATIN):
        return Sense.SECRET
    # Many languages have the noun first: `senhaBanco`.
    if len(words) == 2 and (words[0] in _SHORT_LATIN or words[0].endswith(_FOREIGN_LATIN)) and last not in _ABOUT:
        return Sense.SECRET
    return Sense.PERHAPS if last.endswith("key") else Sense.PLAIN


def _is_content(words: list[str]) -> bool:
    rest = [word for word in words if word not in ("data", "values", "contents", "content")]
    return words[-1] in _HOLDING or (words[-1] != rest[-1] and rest[-1] in _HOLDING)


@remembered(1024)
def refers(name: str) -> bool:
    """Say whether a name announces that something else is named below it: `existingSecret`."""
    return not _REFERRING.isdisjoint(words_of(name))


@remembered(1024)
def is_name_of_key(name: str) -> bool:
    """Say whether a name is one of a key or secret, which may also name an entry that holds it."""
    return words_of(name)[-1:] in (["key"], ["secret"])


def names_a_secret(name: str) -> bool:
    """Say whether what stands under this name is a secret, whatever it looks like."""
    return sense_of(name) is Sense.SECRET


@remembered(1024)
def names_a_count(name: str) -> bool:
    """Say whether a bare number under this name only counts: a quota of `secrets`, the `tokens` used."""
    return words_of(name)[-1:] != [] and words_of(name)[-1] in _PLURALS


@remembered(1024)
def describes_a_secret(name: str) -> bool:
    """Say whether this name, found below a secret, holds a fact about it rather than a part of it."""
    words = words_of(name)
    if not words or sense_of(name) is Sense.SECRET:
        return False
    is_id = words[-1] == "id" and len(words) > 1 and words[-2] in _ABOUT_IDS
    return words[-1] in _ABOUT or words[0] in _COUNTING or is_id or bool(_REFERRING.intersection(words))


def _without_accents(name: str) -> str:
    if name.isascii():
        return name
    whole = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return whole.translate(_LETTERS)
