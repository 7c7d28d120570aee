"""Stands for one process that `forking.py` becomes: hands over what it was started with, and ends as that process ends.

It is started as often as a test starts a program, so it imports next to nothing.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import sys


def hand_over(place: str, arguments: list[str]) -> _socket.socket:
    """Ask the process that listens at a place to become a program, with the streams, folder and variables of this."""
    forking = _socket.socket(_socket.AF_UNIX)
    forking.connect(place)
    request = marshal.dumps((arguments, os.getcwd(), dict(os.environ)))  # noqa: PTH109 - pathlib takes long to import
    streams = b"".join(each.to_bytes(4, sys.byteorder) for each in range(3))
    forking.sendmsg([len(request).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    forking.sendall(request)
    os.closerange(0, 3)
    return forking


def follow(forking: _socket.socket) -> int:
    """Hand on signals until the process has ended; return its exit code, which is negative if a signal ended it."""
    process = int.from_bytes(forking.recv(4), "big")
    for each in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
        _signal.signal(each, lambda number, _: os.kill(process, number))
    return int.from_bytes(forking.recv(4), "big", signed=True)


if __name__ == "__main__":
    code = follow(hand_over(sys.argv[1], sys.argv[2:]))
    if code >= 0:
        os._exit(code)
    if -code != _signal.SIGKILL:
        _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
