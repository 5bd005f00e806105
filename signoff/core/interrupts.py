"""Ctrl-C and SIGTERM, with which CI cancels a job, end a program the same way: in order, and with a word.

Clean-up takes seconds, and CI sends a second signal meanwhile: that one changes nothing. A third breaks the clean-up
off, and so does `kill -9` at any time; the next run sweeps what is left then.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ENDING = b"\nending already; once more breaks it off, and leaves what is there to the next run\n"
_heard: list[int] = []
"""The signals that have come so far."""
_nothing_to_clean_up = False


def heed(*, nothing_to_clean_up: bool = False) -> None:
    """Have the first of these signals raise KeyboardInterrupt in the main thread, from where this is to be called.

    While there is `nothing_to_clean_up`, while modules are still imported say, it ends the process on the spot: nobody
    would catch that error and keep its traceback from the terminal.
    """
    global _nothing_to_clean_up
    _nothing_to_clean_up = nothing_to_clean_up
    if threading.current_thread() is not threading.main_thread():
        return
    for each in _SIGNALS:
        if signal.getsignal(each) != signal.SIG_IGN:  # as nohup and a shell's & leave Ctrl-C to be
            signal.signal(each, _on_signal)


def _on_signal(number: int, _: FrameType | None) -> None:
    _heard.append(number)
    if _nothing_to_clean_up:
        sys.exit(exit_status())
    if len(_heard) == 1:
        raise KeyboardInterrupt
    if len(_heard) == 2:
        with suppress(OSError):  # who reads it may have gone, and nothing must break the clean-up off
            os.write(2, _ENDING)  # print might have been interrupted in mid-line
        return
    os._exit(exit_status())


def exit_status() -> int:
    """What a program ends with that was interrupted: as shells tell it, 128 and the signal's number."""
    return 128 + (_heard[0] if _heard else signal.SIGINT)


def interrupted() -> bool:
    """Whether a signal has come: threads, which none interrupts, ask when they are about to begin something long."""
    return bool(_heard)


def interrupt() -> None:
    """Interrupt this process from one of its threads, as Ctrl-C does, unless that has happened.

    By SIGTERM where Ctrl-C is ignored.
    """
    if not interrupted():
        heard = (each for each in _SIGNALS if signal.getsignal(each) != signal.SIG_IGN)
        os.kill(os.getpid(), next(heard, signal.SIGTERM))
