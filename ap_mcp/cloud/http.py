"""The one place that names the HTTP library: another one with the same API is a change of this line."""

import sys
from typing import Any, cast

_COMMAND = "httpx._main"
_modules = cast("dict[str, Any]", sys.modules)
# httpx does without its own command where that cannot be imported; it would bring rich and pygments into every server.
_modules.setdefault(_COMMAND, None)
from httpx import *  # noqa: E402, F403 - what it offers is listed there, once

if _modules[_COMMAND] is None:
    del _modules[_COMMAND]
