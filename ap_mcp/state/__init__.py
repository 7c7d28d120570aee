"""Implements the protocols of `guard/stores.py` on this machine."""
