"""What container images hold: whether a registry has one, who may pull it, and what its program does.

Two tags are understood for any image, so that failures can be tried out: `broken` is in no registry, and what
is tagged `crashing` starts and ends with code 1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

BROKEN_TAG, CRASHING_TAG = "broken", "crashing"
_UNREACHABLE = (".invalid", ".example", ".test")
"""Ends of host names that no name server knows."""


@dataclass(frozen=True, slots=True)
class Program:
    """What an image holds.

    Attributes:
        missing: the registry has no such tag.
        private: only who shows a pull secret gets it.
        host: the registry, if nobody can reach it.
        exit_code: with what the program ends right after its start, None if it goes on.
        memory: what it needs, as a quantity; empty if any limit will do.
        refused_words: words in its configuration that it does not understand.
        log: what it prints when it starts; empty if nothing particular is known.
    """

    missing: bool = False
    private: bool = False
    host: str = ""
    exit_code: int | None = None
    memory: str = ""
    refused_words: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


@cache
def program_of(image: str) -> Program:
    """Return what an image holds."""
    known = _known()
    path = image.removeprefix(f"{known['registry']}/")
    repository, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "latest")
    name = repository.rpartition("/")[2]
    facts: Mapping[str, Any] = known["images"].get(path) or known["images"].get(path.rpartition(":")[0]) or {}
    crashes = ["starting", "fatal: this build is made to crash", "exit status 1"] if tag == CRASHING_TAG else []
    host = image.partition("/")[0] if "/" in image else ""
    return Program(
        missing=tag == BROKEN_TAG or bool(facts.get("missing")),
        private=path != image and path.startswith(tuple(known["private"])),
        host=host if host.endswith(_UNREACHABLE) else "",
        exit_code=1 if crashes else facts.get("exit"),
        memory=facts.get("memory", ""),
        refused_words=tuple(known["refused_words"].get(name, ())),
        log=tuple(crashes or facts.get("log") or known["programs"].get(name) or ()),
    )


@cache
def _known() -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(files(__package__).joinpath("data/programs.json").read_text("utf-8"))
    return content


def registry() -> str:
    """Return the host name of the registry that the images of the account come from."""
    return str(_known()["registry"])
