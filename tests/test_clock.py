import subprocess
import sys
import time

from ksim_cli import clock
from ksim_cli.clock import Clock


def test_seconds_pass_and_a_later_job_starts_anew():
    first = Clock()
    time.sleep(0.05)
    second = Clock()
    assert 0.0 <= second.seconds() < first.seconds()
    if sys.platform == "linux":
        assert clock._age_at_import() > clock._AGE, "this process has lived on since the import"


def test_the_first_clock_of_a_process_counts_from_its_start():
    code = (
        "import time; time.sleep(0.4)\n"
        "from ksim_cli.clock import Clock\nprint(Clock().seconds(), Clock().seconds())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(float, done.stdout.split())
    assert second < 0.3
    if sys.platform == "linux":
        assert first > 0.35, "what went before the import counts"
