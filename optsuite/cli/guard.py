"""Runs a command; when standard input closes, ends it and every process it has started.

Standard input closes when the parent process ends. This is a program of its own, started by its
path: it imports neither the user's modules nor ours.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 10.0


def main() -> int:
    """Run the command; return its exit code."""
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_watch, args=(server,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _end(server))
    code = server.wait()
    _signal(server, signal.SIGKILL)  # processes that it has left behind
    return code


def _watch(server: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1024):
        pass
    _end(server)
    time.sleep(GRACE_SECONDS)
    _signal(server, signal.SIGKILL)


def _end(server: "subprocess.Popen[bytes]") -> None:
    _signal(server, signal.SIGTERM)


def _signal(server: "subprocess.Popen[bytes]", number: int) -> None:
    """Signal the whole session: the server has workers."""
    with contextlib.suppress(OSError):
        os.killpg(server.pid, number)


if __name__ == "__main__":
    sys.exit(main())
