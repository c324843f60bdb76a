"""Measures the floor: `parley bench floor [--sockets 1000] [--events 50] [--size 366]`.

The least that a delivery can cost here: one write of a ready frame to a socket whose reader is on the other core. What
a server takes above it is its own. The frames are spaced as those of a server are that does something between events,
so the reader sleeps in between; a burst to a reader that is awake costs a little less.
"""

import os
import selectors
import socket
import time
from multiprocessing import get_context
from statistics import median

from parley.stack.probes import HOST
from tests.bench import machine, results

ROUNDS = 3
SPACE_SECONDS = 8e-6  # after each frame of an event, until the next event: about what the reader takes for one


def main(sockets: int, events: int, size: int) -> None:
    """Measure and print the figures."""
    microseconds = measure(sockets, events, size)
    print(f"{microseconds:.2f} µs a write, {1e6 / microseconds:,.0f} in a CPU second")
    results.keep("floor", {"sockets": sockets, "events": events, "size": size, "write_us": microseconds})


def measure(sockets: int, events: int, size: int) -> float:
    """Return the CPU microseconds of a write."""
    with socket.create_server((HOST, 0), backlog=4096) as listener, machine.shared() as core:
        reader = get_context("spawn").Process(target=_read, args=(listener.getsockname()[1], sockets), daemon=True)
        reader.start()
        accepted = [listener.accept()[0] for _ in range(sockets)]
        if core is not None:
            machine.move(os.getpid(), core)
        try:
            for one in accepted:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.setblocking(False)
            numbers = [one.fileno() for one in accepted]
            return round(median(_write(numbers, events, b"x" * size) for _ in range(ROUNDS)), 2)
        finally:
            for one in accepted:
                one.close()
            reader.join()


def _write(sockets: list[int], events: int, frame: bytes) -> float:
    started = time.process_time()
    for _ in range(events):
        for number in sockets:
            os.write(number, frame)
        time.sleep(len(sockets) * SPACE_SECONDS)
    return (time.process_time() - started) / len(sockets) / events * 1e6


def _read(port: int, sockets: int) -> None:
    """Connect so many sockets, and read whatever comes until they are closed."""
    with selectors.DefaultSelector() as selector:
        for _ in range(sockets):
            selector.register(socket.create_connection((HOST, port)), selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                if not os.read(key.fd, 65_536):
                    selector.unregister(key.fileobj)
