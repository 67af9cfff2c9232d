"""Serves a registry's metrics over HTTP, for processes that serve nothing else.

Promises: what it begins ends with the `with`, its thread included. A scrape is answered in that thread, so that summing
up a large cloud does not hold up the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from interlock.schema.errors import InvalidRequest

try:
    from prometheus_client import REGISTRY, start_http_server
    from prometheus_client.registry import CollectorRegistry
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("metrics need prometheus_client: install interlock[prometheus]") from missing

PORTS = range(65536)


def address_of(text: str) -> tuple[str, int]:
    """HOST:PORT, [IPV6]:PORT or :PORT (this machine alone); port 0: any that is free.

    Raises:
        InvalidRequest: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) not in PORTS:
        raise InvalidRequest(f"{text!r} is no address to serve metrics at; write HOST:PORT, such as 0.0.0.0:9400")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


@contextmanager
def serving(address: str, registry: CollectorRegistry = REGISTRY) -> Iterator[str]:
    """Serve /metrics at an address until the end; gives the URL.

    Raises:
        InvalidRequest: there is no such address, or somebody else has it.
    """
    host, port = address_of(address)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise InvalidRequest(f"metrics cannot be served at {address}: {error}; choose another address") from error
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
