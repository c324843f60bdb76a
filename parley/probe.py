"""Asks a process of ours how it is, as a container's health check does; it never goes through a proxy."""

from http.client import HTTPConnection, HTTPException

SECONDS = 3.0


def is_well(host: str, port: int, path: str) -> bool:
    """Whether a GET is answered with 200 in time."""
    connection = HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
