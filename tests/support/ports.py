"""Ports for servers that are child processes."""

from __future__ import annotations

import socket


def own_port() -> int:
    """Return a port of 127.0.0.1 that is this process's until it ends: free to listen on by name, given to nobody who asks for any.

    A socket stays bound to it that does not listen. Linux gives such a port to nobody who binds or connects from "any" port,
    and lets those who name it and set SO_REUSEADDR, as servers do, listen there, again and again.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port = int(held.getsockname()[1])
    held.detach()
    return port
