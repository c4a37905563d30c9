import os
import signal
import subprocess
import sys
import threading

import pytest

from ksim_cli.run.signals import Interrupted, StopSignals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_raised_when_asked_about(number, code):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        assert signals.received == number
    assert Interrupted(number).code == code
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_the_process_at_once():
    code = (
        "import os, signal, time\n"
        "from ksim_cli.run.signals import StopSignals\n"
        "with StopSignals():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=20, check=False)
    assert done.returncode == 143


def test_elsewhere_than_in_the_main_thread_there_are_no_handlers():
    seen = []

    def work():
        with StopSignals() as signals:
            seen.append(signals.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]
