"""The page: where it listens, and whom it answers. `tests/run/test_live_view.py` looks at it."""

import contextlib
import http.client
import socket
import subprocess
import sys
import time
import urllib.parse
from typing import NamedTuple

import mujoco
import pytest
from websockets.sync.client import connect

from ksim_cli.errors import UserError
from ksim_cli.view.desk import Desk, Labels
from ksim_cli.view.studio import Place, StudioScreen

web = pytest.importorskip("ksim_cli.view.web", reason="MuJoCo Studio does not work here")

BALL = """<mujoco><worldbody><body name="ball" pos="0 0 1"><freejoint/>
<geom size=".1"/></body></worldbody></mujoco>"""


PROGRAM = """
import sys
import mujoco
import numpy as np
from ksim_cli.view.desk import Desk, Labels
from ksim_cli.view.studio import Place, StudioScreen

model = mujoco.MjModel.from_xml_string(sys.argv[1])
screen = StudioScreen(model, Desk(Labels("ball", {}, 0.02)), Place("web"))
screen.show(model.qpos0, np.zeros(model.nv), 0.0)
print(screen.url, flush=True)
while sys.stdin.readline():
    print(screen.is_watched(), flush=True)
screen.close()
print(screen.is_open(), flush=True)
"""


class Server(NamedTuple):
    """A page that a process of its own serves: Studio makes one in a process."""

    url: str
    process: subprocess.Popen


@contextlib.contextmanager
def serving():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, BALL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        server = Server(process.stdout.readline().strip(), process)
        place = urllib.parse.urlsplit(server.url)
        while process.poll() is None:  # its thread listens in a moment
            with contextlib.suppress(ConnectionRefusedError), socket.socket() as client:
                client.connect((place.hostname, place.port))
                break
            time.sleep(0.01)
        yield server
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def screen():
    with serving() as server:
        yield server


def status(screen, path="/", **headers):
    place = urllib.parse.urlsplit(screen.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    with contextlib.closing(connection):
        connection.putrequest("GET", path, skip_host=True)
        for name, value in {"Host": place.netloc, **headers}.items():
            connection.putheader(name, value.format(port=place.port))
        connection.endheaders()
        with connection.getresponse() as answer:
            answer.read()
            return answer.status


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@pytest.mark.parametrize(
    ("path", "headers", "wanted"),
    [
        ("/", {}, 200),
        ("/model?total_bytes", {}, 200),
        ("/", {"Host": "localhost:{port}"}, 200),
        ("/", {"Host": "[::1]:{port}"}, 200),
        ("/", {"Origin": "http://localhost:{port}"}, 200),
        ("/", {"Host": "evil.example:{port}"}, 403),
        ("/", {"Host": "localhost.evil.example:{port}"}, 403),
        ("/", {"Host": "localhost:1"}, 403),
        ("/", {"Host": "localhost"}, 403),
        ("/model", {"Host": "evil.example"}, 403),
        ("/", {"Origin": "http://evil.example"}, 403),
        ("/", {"Origin": "null"}, 403),
        ("/state", {**UPGRADE, "Origin": "http://evil.example"}, 403),
        ("/ui", {**UPGRADE, "Origin": "http://evil.example:{port}"}, 403),
        ("/ui", {**UPGRADE, "Host": "evil.example:{port}"}, 403),
        ("/drop", UPGRADE, 403),
        ("/drop?sid=1", {**UPGRADE, "Origin": "http://localhost:{port}"}, 403),
        ("//drop/", UPGRADE, 403),
    ],
)
def test_it_answers_to_its_own_names_only_and_takes_no_files(screen, path, headers, wanted):
    assert status(screen, path, **headers) == wanted


def test_it_is_watched_while_a_page_is_connected(screen):
    def watched(becomes):
        for _ in range(1000):  # the server notices in its own time
            screen.process.stdin.write("?\n")
            screen.process.stdin.flush()
            if screen.process.stdout.readline().strip() == str(becomes):
                return True
        return False

    place = urllib.parse.urlsplit(screen.url).netloc
    assert watched(False)
    with connect(f"ws://{place}/state?sid=1"), connect(f"ws://{place}/state?sid=2"):
        assert watched(True)
    assert watched(False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_it_listens_at_one_address_only(screen):
    port = urllib.parse.urlsplit(screen.url).port
    listening = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}") as file:
            fields = [line.split() for line in file.readlines()[1:]]
        listening += [f[1] for f in fields if f[3] == "0A" and int(f[1].split(":")[1], 16) == port]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_port_that_is_taken_is_one_message():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        model = mujoco.MjModel.from_xml_string(BALL)
        with pytest.raises(UserError, match=f"viewer=web: Port {port} is already in use"):
            StudioScreen(model, Desk(Labels("ball", {}, 0.02)), Place("web", port=port))


def test_it_is_gone_once_it_is_closed():
    with serving() as server:
        place = urllib.parse.urlsplit(server.url)
        assert status(server) == 200
        server.process.stdin.close()
        assert server.process.stdout.readline().strip() == "False", "it is open no more"
        with pytest.raises(OSError, match="refused"), socket.socket() as client:
            client.connect((place.hostname, place.port))
        server.process.stdin = None


def test_names_of_an_address():
    assert "localhost" in web.names_of("127.0.0.1")
    assert socket.gethostname() in web.names_of("0.0.0.0")
    for wrong in ("example.org", "", "1.2.3"):
        with pytest.raises(UserError, match=r"viewer_host=.*must be an IP address"):
            web.names_of(wrong)
