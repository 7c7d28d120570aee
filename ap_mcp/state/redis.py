"""Open consents, questions and signed answers in Redis, for servers that share them; nothing in it is trusted.

A consent is the record that exists from asking to use, and whoever takes it away has it. It names the life of the Redis
server that it was written to: after a restart, or once another server took over, whatever was written before is
worthless, for what was taken meanwhile may be back. Lost data, an old copy and a replica that is behind have people
asked again; none lets a consent be used twice. Redis's own clock counts.

Keys: `q:`, `a:` and `w:` with a code hold a question, its answer, its withdrawal; `open:` an open consent; `used:`
stands for what must not be used again. Sorted sets say when questions end (`ends`), which are about a call (`call:`),
how much of a principal waits (`waiting:`, `forms:`) or was asked within a day (`day:`), and of which questions people
are still to be informed how they ended (`announced:`).
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable
from ap_mcp.guard.approval_requests import (
    SHOWN,
    Asked,
    Question,
    SignedAnswer,
    call_digest,
    read_code,
    why_not_withdrawn,
)
from ap_mcp.guard.lifetimes import DAY_LIMIT, KEPT, LONGEST_LIFETIME, MOST_OF_HISTORY, OPEN_LIMIT
from ap_mcp.guard.seal import ticks
from ap_mcp.guard.stores import OpenConsent
from ap_mcp.state.redis_link import PREFIX, Command, RedisLink, name_of
from ap_mcp.state.redis_records import WRONG, OpenRecord, answer_text, asked_of, question_text, withdrawal_text
from ap_mcp.state.refusals import asked_too_often, too_many_wait
from ap_mcp.state.taken import Taken
from ap_mcp.wording import in_quotes

ENDS = f"{PREFIX}ends"


class RedisStore:
    """Implements `guard.stores.ApprovalStore` for all servers that share a Redis server.

    Every method raises `ApprovalsUnusable` if Redis cannot be used.

    Args:
        link: leads to it.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._taken = Taken()

    def now(self) -> datetime:
        """Return the time that counts for consents: Redis's."""
        return self._link.clock()

    async def time(self) -> datetime:
        """Return it, asked for anew."""
        await self._link.run(("PING",))
        return self.now()

    async def close(self) -> None:
        """End all connections."""
        await self._link.close()

    async def open(self, consent: OpenConsent) -> None:
        """Record that a consent may be used once; see `ConsentStore.open`."""
        life, _ = await self._link.with_life()
        record = OpenRecord.of(consent, life)
        waiting, opened = _key("forms", name_of(consent.principal)), _key("open", consent.id)
        written, *_, count = await self._link.run(
            _set(opened, record.text(), consent.expires - consent.created),
            *_counted(waiting, consent.id, consent.created, consent.expires),
            atomic=True,
        )
        if not written:
            await self._ours(opened, record.text(), "This consent is open already.")
        if count > OPEN_LIMIT:
            await self._link.run(("DEL", opened), ("ZREM", waiting, consent.id), atomic=True)
            raise too_many_wait(consent.principal)

    async def take(self, consent_id: str, digest: str, now: datetime) -> bool:
        """Take the record of a consent away; see `ConsentStore.take`."""
        text, life = await self._link.taken(_key("open", consent_id))
        # Putting the record back into Redis does not put it back in here.
        if text is None or not self._taken.add(consent_id):
            return False
        try:
            record = OpenRecord.read(text)
        except WRONG:
            return False
        with suppress(ApprovalsUnusable):  # it is taken, whatever becomes of the counts, which end by themselves
            sets = [_key(kind, name_of(record.principal)) for kind in ("forms", "waiting", "simulated")]
            await self._link.run(*(("ZREM", each, consent_id, record.code) for each in sets))
        return record.digest == digest and record.life == life and now < record.expires

    async def use_once(self, name: str, now: datetime, until: datetime) -> bool:
        """Remember that something was used; see `ConsentStore.use_once`."""
        [is_first] = await self._link.run(_set(_key("used", name), "1", until - now))
        return bool(is_first)

    async def ask(self, question: Question) -> None:
        """Put a question where a person finds it, and open its consent; see `ApprovalStore.ask`."""
        life, _ = await self._link.with_life()
        code, consent, now, ends = question.code, question.consent, question.created, question.expires
        kept, lives = _key("q", code), ends - now
        waiting, about = _waiting(question), _key("call", consent.digest)
        today = waiting.replace(PREFIX, f"{PREFIX}day:", 1)
        written, *answers = await self._link.run(
            _set(kept, question_text(question), lives + KEPT),
            _set(_key("open", consent.id), OpenRecord.of(consent, life, code).text(), lives),
            ("ZREMRANGEBYSCORE", ENDS, "-inf", ticks(now - KEPT)),
            ("ZADD", ENDS, "NX", ticks(ends), code),
            ("ZADD", about, "NX", ticks(now), code),
            ("PEXPIRE", about, _milliseconds(LONGEST_LIFETIME)),
            *_counted(today, code, now, now + KEPT),
            *_counted(waiting, code, now, ends),
            atomic=True,
        )
        if not written:
            await self._ours(kept, question_text(question), f"{code} names another question.")
        *_, asked, _, _, _, waits = answers
        if waits > OPEN_LIMIT or asked > DAY_LIMIT:
            gone = [kept, _key("open", consent.id)]
            forgotten: list[Command] = [("ZREM", each, code) for each in (ENDS, about, today, waiting)]
            await self._link.run(("DEL", *gone), *forgotten, atomic=True)
            raise (too_many_wait if waits > OPEN_LIMIT else asked_too_often)(question.principal)

    async def find(self, code: str) -> Asked | None:
        """Return the question of a code, however it was typed."""
        read = read_code(code)
        return next(iter(await self._seen([read])), None) if read else None

    async def pending(self, now: datetime) -> list[Question]:
        """Return the questions without an answer, oldest first."""
        [codes] = await self._link.run(("ZRANGEBYSCORE", ENDS, f"({ticks(now)}", "+inf"))
        found = [asked.question for asked in await self._seen(codes) if asked.is_open and asked.decision is None]
        return sorted((each for each in found if each.created <= now < each.expires), key=lambda each: each.created)

    async def waiting(self, now: datetime) -> int:
        """Return how many questions have no answer; one that has ended stands in the past."""
        [count] = await self._link.run(("ZCOUNT", ENDS, f"({ticks(now)}", "+inf"))
        return int(count)

    async def about(self, bound: Mapping[str, str], now: datetime) -> list[Asked]:
        """Return the questions about exactly this call whose consents are open; see `ApprovalStore.about`."""
        digest = call_digest(bound)
        [codes] = await self._link.run(("ZREVRANGE", _key("call", digest), 0, -1))
        found = [asked for asked in await self._seen(codes) if asked.question.consent.digest == digest]
        counting = [
            asked for asked in found if asked.is_open and asked.question.created <= now < asked.question.expires
        ]
        return sorted(counting, key=_answered, reverse=True)

    async def decide(self, code: str, answer: SignedAnswer) -> None:
        """Keep a person's answer, the first one; its signature is judged when it is used."""
        asked = await self.find(code)
        if asked is None:
            raise ApprovalRefused(f"There is no question {in_quotes(code, SHOWN)}. Nothing was decided.")
        named = asked.question.code
        if asked.withdrawal is not None:
            raise ApprovalRefused(f"{named} was withdrawn. Nothing was decided; it must be asked anew.")
        decided = ApprovalRefused(f"{named} is decided already, and an answer is not changed.")
        if asked.decision is not None:
            raise decided
        if answer.at >= asked.question.expires:
            raise ApprovalRefused(f"{named} has expired. Nothing was decided; it must be asked anew.")
        written, *_, found = await self._link.run(
            _set(_key("a", named), answer_text(answer), asked.question.expires - answer.at + KEPT),
            ("ZADD", ENDS, "XX", ticks(answer.at), named),
            ("ZREM", _waiting(asked.question), named),
            ("GET", _key("a", named)),
            atomic=True,
        )
        if not written and found != answer_text(answer).encode():  # else it is this one, sent twice
            raise decided

    async def withdraw(self, code: str, by: str, now: datetime) -> None:
        """Take a question and its consent away; see `ApprovalStore.withdraw`."""
        asked = await self.find(code)
        if asked is None:
            raise ApprovalRefused(f"There is no question {in_quotes(code, SHOWN)}. Nothing was withdrawn.")
        named, consent = asked.question.code, asked.question.consent
        if why := why_not_withdrawn(asked, now):
            raise ApprovalRefused(f"{named} cannot be withdrawn: {why}. Nothing was changed.")
        await self._link.run(
            ("DEL", _key("open", consent.id)),
            _set(_key("w", named), withdrawal_text(by, now), asked.question.expires - now + KEPT),
            ("ZADD", ENDS, "XX", ticks(now), named),
            ("ZREM", _waiting(asked.question), named),
            atomic=True,
        )
        self._taken.add(consent.id)

    async def history(self, now: datetime) -> list[Asked]:
        """Return the questions that came to an end of late, the last first; see `ApprovalStore.history`."""
        since = f"({ticks(now - KEPT)}"
        [codes] = await self._link.run(("ZREVRANGEBYSCORE", ENDS, ticks(now), since, "LIMIT", 0, MOST_OF_HISTORY))
        found = [asked for asked in await self._seen(codes) if asked.question.created <= now and asked.ended <= now]
        return sorted(found, key=lambda asked: asked.ended, reverse=True)

    async def announce(self, code: str, place: str) -> None:
        """Record that people were informed of a question, and are to be informed of its end."""
        key, now = _key("announced", place), self.now()
        await self._link.run(
            ("ZREMRANGEBYSCORE", key, "-inf", ticks(now - KEPT - LONGEST_LIFETIME)),
            ("ZADD", key, "NX", ticks(now), code),
            ("PEXPIRE", key, _milliseconds(KEPT + LONGEST_LIFETIME)),
        )

    async def announced(self, place: str) -> list[str]:
        """Return the codes of questions whose end people are still to be informed of."""
        [codes] = await self._link.run(("ZRANGE", _key("announced", place), 0, -1))
        return [code.decode("ascii", "replace") for code in codes]

    async def settle(self, code: str, place: str) -> bool:
        """Take that record away; see `ApprovalStore.settle`."""
        [gone] = await self._link.run(("ZREM", _key("announced", place), code))
        return bool(gone == 1)

    async def _seen(self, codes: Iterable[str | bytes]) -> list[Asked]:
        """Return what is kept about some questions, in their order; what cannot be read is passed over."""
        named = [code.decode("ascii", "replace") if isinstance(code, bytes) else code for code in codes]
        if not named:
            return []
        kept = await self._link.run(*(("MGET", *(_key(kind, code) for code in named)) for kind in ("q", "a", "w")))
        found = []
        for question, answer, withdrawal in zip(*kept, strict=True):
            if question is not None:
                with suppress(*WRONG):
                    found.append(asked_of(question, answer, withdrawal))
        return await self._with_openness(found)

    async def _with_openness(self, found: list[Asked]) -> list[Asked]:
        """Return questions with whether their consents are open, in this life of the server."""
        if not found:
            return []
        opened = [asked.question.consent for asked in found]
        life, [records] = await self._link.with_life(("MGET", *(_key("open", consent.id) for consent in opened)))
        seen = []
        for asked, consent, text in zip(found, opened, records, strict=True):
            is_open = False
            if text is not None and consent.id not in self._taken:
                with suppress(*WRONG):
                    is_open = OpenRecord.read(text).life == life
            seen.append(Asked(asked.question, asked.decision, is_open, asked.withdrawal))
        return seen

    async def _ours(self, key: str, text: str, otherwise: str) -> None:
        """Check that a value which was there already is the one that was to be written: sent twice, it stood then."""
        [found] = await self._link.run(("GET", key))
        if found != text.encode():
            raise ApprovalsUnusable(f"{otherwise} Nothing was sent; call again.")


def _key(kind: str, name: str) -> str:
    return f"{PREFIX}{kind}:{name}"


def _waiting(question: Question) -> str:
    """Return the set of questions that wait beside one; what is simulated leaves room for what is real."""
    return _key("simulated" if question.simulated else "waiting", name_of(question.principal))


def _set(key: str, text: str, lives: timedelta) -> Command:
    return ("SET", key, text, "NX", "PX", max(_milliseconds(lives), 1))


def _counted(waiting: str, name: str, now: datetime, expires: datetime) -> tuple[Command, ...]:
    """Return the commands that add something to what waits, and say how much then does."""
    return (
        ("ZREMRANGEBYSCORE", waiting, "-inf", ticks(now)),
        ("ZADD", waiting, "NX", ticks(expires), name),
        ("PEXPIRE", waiting, _milliseconds(LONGEST_LIFETIME)),
        ("ZCARD", waiting),
    )


def _milliseconds(lives: timedelta) -> int:
    return lives // timedelta(milliseconds=1)


def _answered(asked: Asked) -> tuple[int, int]:
    """Return by what questions are ordered: the last answered one is the highest, then the newest."""
    return ticks(asked.decision.at) if asked.decision else -1, ticks(asked.question.created)
