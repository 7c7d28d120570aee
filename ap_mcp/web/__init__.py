"""Serves many callers over HTTP: who they are, what they may use, and the pages for people."""
