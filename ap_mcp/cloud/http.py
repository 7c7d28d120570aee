"""The one place that names the HTTP library: another one with the same API is a change of this line."""

from httpx import *  # noqa: F403 - what it offers is listed there, once
