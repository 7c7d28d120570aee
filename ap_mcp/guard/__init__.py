"""Decides whether a call may go out, and gets a person's consent where it must."""
