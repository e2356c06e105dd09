"""Being told to stop, whichever thread the signal comes to.

The kernel may give a signal to any thread. Python then runs its handler in the main thread, but wakes nobody:
one that waits without an end would never hear of it. What Python writes to a descriptor at that moment is
heard at once, by a thread that may do what a handler may not, such as setting an event.

The cloud's side has the same: the two share nothing but the wire contract.
"""

import signal
import socket
import threading
from collections.abc import Callable

STOPPING = (signal.SIGTERM, signal.SIGINT)


def on_stop_signal(act: Callable[[], object]) -> None:
    """Have something done at every SIGTERM or Ctrl-C from now on. Called in the main thread.

    Args:
        act: Called in a thread of its own; it must not raise.
    """
    heard, said = socket.socketpair()
    said.settimeout(0)
    signal.set_wakeup_fd(said.fileno(), warn_on_full_buffer=False)
    for number in STOPPING:
        signal.signal(number, lambda *_: None)

    def listen() -> None:
        with said:
            while numbers := heard.recv(64):
                if any(number in numbers for number in STOPPING):
                    act()

    threading.Thread(target=listen, name="stop-signals", daemon=True).start()
