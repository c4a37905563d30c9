"""MuJoCo Studio's page, for those it is meant for.

Studio 4.0 binds every interface and asks nobody who he is. Here one address is bound, another
page that is open in a person's browser cannot speak to it (a foreign `Host` or `Origin` gets 403),
and nothing can be sent to it but what its controls send.
"""

import functools
import http
import ipaddress
import logging
import socket
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

from mujoco.studio import messages, web_viewer
from mujoco.studio.web import web_server
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ksim_cli.errors import UserError
from ksim_cli.view.kind import LOOPBACK

_UPLOADS = "drop"

_IDLE = 1 / 30
"""s between two looks for a browser."""

_serve = web_server.serve


class LocalWebViewer(web_viewer.WebViewer):
    """A page that is served at one address, under names that are known.

    Args:
        address: the IP address that is bound.
    """

    def __init__(self, *given: Any, address: str, **more: Any) -> None:
        self._address, self._names, self._sockets = address, names_of(address), 0
        # The server looks it up when its thread begins, in a moment.
        web_server.serve = functools.partial(_serve_guarded, self._is_known, self._counted)
        web_viewer._print_url_banner = _say_nothing  # pyright: ignore[reportPrivateUsage]
        web_server.logger.setLevel(logging.WARNING)
        super().__init__(*given, **more)

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self._http_port

    @property
    def _host(self) -> str:
        return self._address

    @_host.setter
    def _host(self, wanted: str) -> None:
        """Studio wants every interface; see the module."""

    def is_watched(self) -> bool:
        """Whether a browser shows the page."""
        return self._sockets > 0

    def prepare_next_frame(self) -> bool:
        """As Studio's own, which draws its controls for nobody, too."""
        if not self.is_watched():
            time.sleep(_IDLE)
            return False
        return super().prepare_next_frame()

    async def _counted(self, handler: Callable[[Any], Awaitable[None]], socket: Any) -> None:
        """Counts the connections of pages."""
        self._sockets += 1
        try:
            await handler(socket)
        finally:
            self._sockets -= 1

    @messages.handler(priority=messages.Priority.INTERNAL)
    def _on_post_model(self, _: messages.PostModelEvent) -> None:
        """As Studio's own, which prints a line."""
        self._update_model()

    def get_drop_file(self) -> str:
        """Nothing: what is viewed does not come from the page."""
        return ""

    def _is_known(self, place: str) -> bool:
        """Whether the page may be asked for, or spoken to, as `host:port`."""
        host, _, port = place.rpartition(":")
        return host.strip("[]") in self._names and port == str(self.port)


def _say_nothing(host: str, port: int) -> None:
    """In place of Studio's banner: ksim says where the page is, and how to get there."""


def names_of(address: str) -> tuple[str, ...]:
    """Hosts under which a page bound to an address may be asked for.

    Raises:
        UserError: it is no IP address.
    """
    try:
        bound = ipaddress.ip_address(address)
    except ValueError as error:
        raise UserError(
            f"viewer_host={address}: must be an IP address of this machine: 127.0.0.1 (the default)"
            " lets in who is at this machine, 0.0.0.0 the whole network"
        ) from error
    if bound.is_loopback:
        return (*LOOPBACK, address)
    here = socket.gethostname()
    try:
        known = socket.gethostbyname_ex(here)
    except OSError:
        known = (here, [], [])
    return (*LOOPBACK, address, here, socket.getfqdn(), known[0], *known[1], *known[2])


def _serve_guarded(
    is_known: Callable[[str], bool],
    counted: Callable[..., Awaitable[None]],
    handler: Any,
    *given: Any,
    process_request: Callable[[Any, Request], Any],
    **more: Any,
) -> Any:
    """`websockets.serve` that refuses foreign hosts, foreign pages and uploads."""

    async def process(connection: Any, request: Request) -> Any:
        hosts = request.headers.get_all("Host")
        origins = request.headers.get_all("Origin")
        pages = [urllib.parse.urlsplit(each).netloc for each in origins]
        path = request.path.partition("?")[0].strip("/")
        if path == _UPLOADS or not hosts or not all(map(is_known, (*hosts, *pages))):
            return _forbidden()
        answer = process_request(connection, request)
        return await answer if hasattr(answer, "__await__") else answer

    return _serve(functools.partial(counted, handler), *given, process_request=process, **more)


def _forbidden() -> Response:
    status, body = http.HTTPStatus.FORBIDDEN, b"ksim serves this page to itself only\n"
    headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, status.phrase, headers, body)
