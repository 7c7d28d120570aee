"""Finalizers: what keeps an object that is being deleted, and who has to finish first."""

from typing import Any

from ap_mcp.vendor import strings, word
from ap_mcp.wording import few


def held_by(body: Any) -> list[str]:
    """Return the finalizers of an object; a Namespace has some of its own as well."""
    return [*strings(body, "/metadata/finalizers"), *strings(body, "/spec/finalizers")]


def in_words(finalizers: list[str]) -> str:
    """Return finalizers with what each does, or who knows."""
    return few([f"{word(each)} ({owner_of(each)})" for each in finalizers], 5)


def owner_of(finalizer: str) -> str:
    """Return what a finalizer does, or who knows."""
    known = {
        "kubernetes.io/pvc-protection": "keeps a volume that pods use",
        "kubernetes.io/pv-protection": "keeps a disk that is claimed",
        "foregroundDeletion": "deletes what it owns first",
        "orphan": "leaves what it owns without an owner",
        "kubernetes": "deletes what is in the namespace",
        "service.kubernetes.io/load-balancer-cleanup": "deletes the load balancer",
    }
    return known.get(finalizer, f"whoever runs {word(finalizer.partition('/')[0])}")
