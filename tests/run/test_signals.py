import os
import signal
import subprocess
import sys
import threading

import pytest

from ksim_cli.run import signals
from ksim_cli.run.signals import Interrupted, status_of
from tests.run.commands import ROOT

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 99}

HEAD = """
import os, signal, sys, threading, time
from ksim_cli.run import signals
signals.watch()
watch = signals.current()
def send(number):
    os.kill(os.getpid(), number)
"""


def run(code: str, head: str = HEAD, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", head + code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.mark.parametrize(("number", "status"), STATUS.items())
def test_in_a_process_of_somebody_elses_a_signal_is_noted(number, status, capsys):
    before = signal.getsignal(number)
    with signals.watching() as watch:
        watch.check()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # the wrapper's double
        assert watch.received == number
        with pytest.raises(Interrupted) as stop:
            watch.check()
    assert stop.value.code == status_of(number) == status
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "status"), STATUS.items())
def test_what_can_be_left_is_left_at_once_and_says_so(number, status):
    # A sleep does not return for a signal, as little as compiling does.
    done = run(f"print('shown', end='')\nsend({int(number)})\ntime.sleep(50)")
    assert (done.returncode, done.stdout) == (status, "shown")
    assert done.stderr == f"ksim: {number.name}: leaving now, nothing is lost\n"


def test_what_must_not_be_lost_is_made_safe_first():
    done = run("""
watch.farewell = lambda: "; go on so"
with watch.leaving("saving, then leaving", lambda: print("saved")):
    send(signal.SIGTERM)
    time.sleep(50)
""")
    assert (done.returncode, done.stdout) == (143, "saved\n")
    assert done.stderr.splitlines() == [
        "ksim: SIGTERM: saving, then leaving",
        "ksim: stopped by SIGTERM; go on so",
    ]


def test_where_making_safe_fails_it_is_said_and_told_by_the_status():
    done = run("""
def fail():
    raise OSError("no space left")
with watch.leaving("saving", fail):
    send(signal.SIGTERM)
    time.sleep(50)
""")
    assert done.returncode == 1 and "SIGTERM: OSError: no space left" in done.stderr


def test_what_came_before_is_made_safe_by_the_main_thread():
    done = run("""
with watch.deferring("soon"):
    send(signal.SIGINT)
    while watch.received is None:
        time.sleep(0.01)
    with watch.leaving("saving", lambda: print("saved")):
        print("never")
""")
    assert (done.returncode, done.stdout, done.stderr) == (130, "saved\n", "ksim: SIGINT: soon\n")


@pytest.mark.parametrize("shared", [False, True])
def test_who_defers_is_asked_and_a_double_is_no_second_signal(shared):
    """The same where other processes take part, whatever could be left at once."""
    done = run(f"""
signals.DOUBLE_SECONDS = 600.0
watch.shared = {shared}
with watch.leaving("at once") if {shared} else watch.deferring("after this iteration"):
    send(signal.SIGTERM)
    send(signal.SIGINT)
    time.sleep(0.3)
    send(signal.SIGTERM)
    time.sleep(0.3)
    print(watch.received)
    while threading.active_count() > 2:  # the answer is still being said
        time.sleep(0.01)
""")
    assert (done.returncode, done.stdout) == (0, "15\n")
    text = signals.SOON.text if shared else "after this iteration"
    assert done.stderr == f"ksim: SIGTERM: {text}\n"


def test_a_later_signal_ends_what_defers():
    done = run(f"""
signals.DOUBLE_SECONDS = 0.1
with watch.deferring("soon"):
    send({int(signal.SIGINT)})
    while watch.received is None:
        time.sleep(0.01)
    time.sleep(0.3)
    send({int(signal.SIGTERM)})
    time.sleep(50)
""")
    assert done.returncode == 143


def test_a_reader_that_does_not_read_keeps_nobody():
    reading, writing = os.pipe()
    code = """
import fcntl
fcntl.fcntl(2, 1031, 4096)  # F_SETPIPE_SZ
sys.stderr.write("x" * 4096)
sys.stderr.flush()
send(signal.SIGTERM)
time.sleep(50)
"""
    command = [sys.executable, "-c", HEAD + code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=writing)
    try:
        assert process.wait(120) == 143
    finally:
        process.kill()
        os.close(reading)
        os.close(writing)


def test_a_signal_that_is_ignored_stays_so():
    """`nohup ksim train`; and Ctrl-C for what a shell has put in the background."""
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    done = run("send(signal.SIGHUP)\ntime.sleep(0.2)\nprint('here')", preexec_fn=ignore)
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")


def test_signals_of_a_forked_child_are_its_own():
    done = run("""
reading, writing = os.pipe()
child = os.fork()
if not child:
    os.write(writing, b"x")
    time.sleep(50)
os.read(reading, 1)
os.kill(child, signal.SIGTERM)
_, status = os.waitpid(child, 0)
time.sleep(0.2)
print(os.waitstatus_to_exitcode(status), watch.received)
""")
    assert (done.returncode, done.stdout) == (0, "-15 None\n")


def test_elsewhere_than_in_the_main_thread_there_are_no_handlers():
    seen = []

    def work():
        with signals.watching() as watch:
            seen.append(watch.received)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None] and signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_comes_as_soon_as_one_is_minded_is_answered():
    done = run(
        """
install = signal.signal
def send_at_once(number, handler):
    install(number, handler)
    send(number)
signal.signal = send_at_once
signals.watch()
time.sleep(50)
""",
        head=HEAD.replace("signals.watch()", "", 1).replace("watch = signals.current()", ""),
    )
    assert done.returncode == 130, done
    assert done.stderr == "ksim: SIGINT: leaving now, nothing is lost\n"
