"""Keeps Python on this machine: tests install it by PYTHONPATH, so that the processes they start have it too.

A connection, a datagram or a look-up of a name that leads elsewhere is refused as by a machine without a network.
"""

import errno
import ipaddress
import socket
import sys

NAMES = ("", "localhost", "localhost.localdomain")


def leads_elsewhere(host: object) -> bool:
    """Return whether a host is neither this machine's loopback nor nothing."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    if name.rstrip(".").lower() in NAMES or name == socket.gethostname():
        return False
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return True
    address = getattr(address, "ipv4_mapped", None) or address
    return not (address.is_loopback or address.is_unspecified)


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse what leads elsewhere: an audit hook, which no Python code passes by."""
    if not event.startswith("socket."):
        return
    if event == "socket.getaddrinfo":
        host = str(arguments[0])
        if not host.replace(".", "").isdigit() and ":" not in host and leads_elsewhere(arguments[0]):
            raise socket.gaierror(socket.EAI_NONAME, f"A test looked {host!r} up: only loopback is open.")
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and leads_elsewhere(address[0]):
            raise OSError(errno.ENETUNREACH, f"A test sent to {address[0]}: only loopback is open.")


sys.addaudithook(refuse)
