"""The command `parley`. What a command needs is imported when it runs: `parley --version` waits for nothing."""

import signal
import sys
from contextlib import suppress
from enum import StrEnum
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from parley import maintenance, people
from parley.commands import Data, fail, running_on, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from parley.stack.stack import Urls

app = typer.Typer(
    help="A chat backend with a GraphQL API.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(people.user, name="user")
app.command()(people.audit)
dead_letters = typer.Typer(help="Events that a job could not take.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")
bench = typer.Typer(help="Measurements, each on a stack of its own.", no_args_is_help=True)
app.add_typer(bench, name="bench")
maintenance.add_to(app)


RedisCluster = Annotated[
    bool, typer.Option("--redis-cluster", help="Let Redis be a cluster: three nodes, with a replica each.")
]


class Peer(StrEnum):
    """Who Parley is measured against."""

    PLAIN = "plain"
    GRAPHQL_WS = "graphql-ws"
    SOCKETIO = "socketio"


Against = Annotated[list[Peer] | None, typer.Option(help="Measure this server too; repeat it.")]
Runs = Annotated[int, typer.Option(min=1, help="Runs of each; the medians count.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"parley {version('parley-chat')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the first API process.")] = 8000,
    data: Data = Path(".parley"),
    replicas: Annotated[int, typer.Option(min=1, help="API processes, on the port and those after it.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes.")] = 1,
    redis_cluster: RedisCluster = False,
) -> None:
    """Run everything on this machine: the embedded servers, the API and the workers."""

    def show(urls: "Urls") -> None:
        first, *others = urls.apis
        lines = [
            ("Messenger", f"{first}/"),
            ("API and GraphiQL", f"{first}/graphql"),
            *(("Replica", f"{url}/graphql") for url in others),
            ("Health", f"{first}/health"),
            *(("Worker's health", f"{url}/health") for url in urls.workers),
            ("MongoDB", urls.mongo),
            ("Redis", urls.redis),
            ("Kafka", urls.kafka),
            ("Data", str(data.absolute())),
        ]
        typer.echo("\n".join(f"{name:18}{value}" for name, value in lines) + "\n\nCtrl-C stops everything.")

    _run_stack(data, port=port, replicas=replicas, workers=workers, redis_cluster=redis_cluster, ready=show)


@app.command()
def stack(data: Data = Path(".parley"), redis_cluster: RedisCluster = False) -> None:
    """Run the embedded servers alone; print their URLs."""

    def show(urls: "Urls") -> None:
        typer.echo(f"PARLEY_MONGO_URL={urls.mongo}\nPARLEY_REDIS_URL={urls.redis}\nPARLEY_KAFKA_URL={urls.kafka}")

    _run_stack(data, port=0, replicas=0, workers=0, redis_cluster=redis_cluster, ready=show)


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Run one API process, set up by PARLEY_… variables."""
    from parley.api import serve_api
    from services.config import Settings

    serve_api(Settings.model_validate({}), host=host, port=port)


@app.command()
def worker(
    host: Annotated[str, typer.Option(help="Address to say at how it is.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port for that.")] = 8100,
) -> None:
    """Run one worker process, set up by PARLEY_… variables: the relay to Kafka and all jobs."""
    from parley.worker import serve_worker
    from services.config import Settings

    serve_worker(Settings.model_validate({}), host=host, port=port)


@app.command()
def migrate(
    wait: Annotated[float, typer.Option(min=1, help="Seconds for which MongoDB may be away.")] = 120,
    wait_kafka: Annotated[float, typer.Option(min=1, help="Seconds for which Kafka may be away then.")] = 30,
) -> None:
    """Make what a deployment needs before its first process starts, set up by PARLEY_… variables; repeat it freely.

    Without MongoDB it fails. Without Kafka it does not: chat goes on without it, and workers make its topics later.
    """
    import asyncio
    import logging

    from pymongo.errors import PyMongoError

    from services.config import Settings
    from services.migration import migrate_kafka, migrate_mongo

    settings = Settings.model_validate({})
    try:
        epoch = asyncio.run(migrate_mongo(settings, seconds=wait))
    except TimeoutError:
        fail(f"MongoDB does not answer after {wait:g} s.")
    except PyMongoError as error:
        fail(f"MongoDB refuses: {error}")
    typer.echo(f"MongoDB is ready; the epoch is {epoch}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        asyncio.run(migrate_kafka(settings, seconds=wait_kafka))
    except TimeoutError:
        typer.echo("parley: Kafka does not answer; workers make its topics when it does.", err=True)
    else:
        typer.echo("Kafka is ready")


@app.command()
def probe(
    host: Annotated[str, typer.Option(help="Where the process listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port; a worker's is 8100.")] = 8000,
    path: Annotated[str, typer.Option(help="What to ask for.")] = "/health/ready",
) -> None:
    """Ask an API process or a worker whether it is ready; fail if not. It is the health check of containers."""
    from parley.probe import is_well

    if not is_well(host, port, path):
        fail(f"http://{host}:{port}{path} is not well.")


@app.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from schema.api import sdl

    typer.echo(sdl(), nl=False)


@app.command()
def alert_rules() -> None:
    """Print the alert rules for Prometheus, as PARLEY_ALERT_RULES changes them."""
    from parley.prometheus import rules_text
    from services.config import Settings

    # Of all settings only the rules count here.
    settings = Settings.model_validate(
        {"embedded": True, "data": Path(), "mongo_url": "", "redis_url": "", "kafka_url": ""}
    )
    typer.echo(rules_text(settings.alert_rules), nl=False)


@app.command()
def demo(
    url: Annotated[str | None, typer.Option(help="Address of the API; that of the running stack if left out.")] = None,
    data: Data = Path(".parley"),
    live: Annotated[bool, typer.Option("--live", help="Let some of them go on talking until Ctrl-C.")] = False,
) -> None:
    """Fill a running Parley with people who talk, and print how to sign in. Running it again changes nothing."""
    import asyncio

    from parley.demo import DemoError, run

    running = running_on(data) if url is None else {}
    settings = None
    if running:
        from services.config import Settings

        urls = {f"{part}_url": running[part]["url"] for part in ("mongo", "redis", "kafka")}
        settings = Settings.model_validate({"embedded": True, "data": data, **urls})
    url = url or next((api["url"] for api in running.get("api", ())), "http://127.0.0.1:8000")
    try:
        asyncio.run(run(url, live=live, say=typer.echo, settings=settings))
    except DemoError as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.echo("\nThey have gone home.")


@bench.command()
def send(
    messages: Annotated[int, typer.Option(min=100, help="Messages in each run.")] = 4_000,
    conversations: Annotated[list[int] | None, typer.Option(min=1, help="Conversations of a run; repeat it.")] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Sends under way at any time.")] = 64,
) -> None:
    """Measure sending: acknowledgements per second, latency, and CPU a message by part."""
    _bench("send").main(messages, conversations or [1, 20], at_once)


@bench.command()
def read(
    conversations: Annotated[int, typer.Option(min=1, help="How many there are to read.")] = 200,
    reads: Annotated[
        int, typer.Option(min=100, help="How many are made at a process that has them in memory.")
    ] = 2_000,
    at_once: Annotated[int, typer.Option(min=1, help="Reads under way at any time.")] = 8,
) -> None:
    """Measure reading the recent messages: latency, hit ratio and CPU, with Redis and without."""
    _bench("reading").main(conversations, reads, at_once)


@bench.command()
def fanout(
    subscribers: Annotated[list[int] | None, typer.Option(min=1, help="Subscribers of a run; repeat it.")] = None,
    events: Annotated[int, typer.Option(min=1, help="Messages in each run.")] = 50,
    rate: Annotated[
        float, typer.Option(min=0, help="Messages per second; 0: each when the one before is acknowledged.")
    ] = 0,
    against: Against = None,
    runs: Runs = 1,
) -> None:
    """Measure delivery to the subscribers of one room: deliveries per CPU second of the server, and latency."""
    _judge(_bench("fanout").main(subscribers or [1_000], events, rate, against or [], runs))


@bench.command()
def connections(
    idle: Annotated[list[int] | None, typer.Option(min=1, help="Subscribed sockets of a run; repeat it.")] = None,
    hold: Annotated[float, typer.Option(min=1, help="Seconds for which they stay.")] = 60,
    against: Against = None,
    runs: Runs = 1,
) -> None:
    """Measure idle connections: memory of each, how many stay, CPU to keep them."""
    _judge(_bench("connections").main(idle or [5_000], hold, against or [], runs))


@bench.command()
def reconnect(
    sockets: Annotated[int, typer.Option(min=1, help="Subscribed sockets.")] = 2_000,
    events: Annotated[int, typer.Option(min=1, help="Messages sent while nobody is connected.")] = 20,
    runs: Runs = 1,
) -> None:
    """Measure how long all take to catch up when all connections are cut and come back at once."""
    _judge(_bench("reconnect").main(sockets, events, runs))


@bench.command()
def presence(
    connections: Annotated[int, typer.Option(min=11, help="Idle sockets, each of a user of its own.")] = 10_000,
    users: Annotated[int, typer.Option(min=1, help="People who come online at once.")] = 1_000,
    watchers: Annotated[int, typer.Option(min=1, help="Subscribers, each of all of them.")] = 1_000,
    hold: Annotated[float, typer.Option(min=1, help="Seconds for which Redis's commands are counted.")] = 10,
) -> None:
    """Measure presence: Redis commands a second by idle sockets; frames, executions and writes of many changes."""
    _judge(_bench("presence").main(connections, users, watchers, hold))


@bench.command()
def history(
    messages: Annotated[
        list[int] | None, typer.Option(min=200, help="Messages of a conversation; repeat it, the shortest first.")
    ] = None,
    asks: Annotated[int, typer.Option(min=20, help="How often each thing is asked for.")] = 200,
) -> None:
    """Measure reading far back in a long conversation, beside a short one and the store alone; check every answer."""
    _judge(_bench("history").main(messages or [1_000, 100_000], asks))


@bench.command()
def queries(
    requests: Annotated[int, typer.Option(help="Requests in each run.")] = 3_000,
    at_once: Annotated[int, typer.Option(help="Requests that are under way at any time.")] = 8,
    runs: Annotated[int, typer.Option(help="Runs; the medians count.")] = 3,
) -> None:
    """Measure queries from memory, and sends, against graphql-http on Node.js."""
    _judge(_bench("queries").main(requests, at_once, runs))


@bench.command()
def capacity(
    requests: Annotated[int, typer.Option(min=1, help="Requests a second that are wanted.")] = 1_000_000,
    deliveries: Annotated[int, typer.Option(min=1, help="Deliveries a second that are wanted.")] = 1_000_000,
    load: Annotated[int, typer.Option(min=200, help="Requests of each kind in a measurement.")] = 2_000,
) -> None:
    """Measure what operations cost each part, behind nginx, and say how many nodes it takes for so many a second."""
    _judge(_bench("capacity").main(requests, deliveries, load))


@bench.command()
def monitoring(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, each with monitoring on, off, off and on.")] = 30,
    subscribers: Annotated[int, typer.Option(min=1, help="Subscribed sockets.")] = 1_000,
    events: Annotated[int, typer.Option(min=1, help="Messages sent to them in each part of a round.")] = 50,
    requests: Annotated[int, typer.Option(min=4, help="Requests in each part; of pages and sends a quarter.")] = 600,
    at_once: Annotated[int, typer.Option(min=1, help="Requests that are under way at any time.")] = 8,
) -> None:
    """Measure what monitoring costs: CPU of deliveries and requests with it, and without, in turns, in one process."""
    _judge(_bench("monitoring").main(rounds, subscribers, events, requests, at_once))


@bench.command()
def floor(
    sockets: Annotated[int, typer.Option(min=1, help="Sockets.")] = 1_000,
    events: Annotated[int, typer.Option(min=1, help="Frames to each.")] = 50,
    size: Annotated[int, typer.Option(min=1, max=4096, help="Bytes of a frame.")] = 366,
) -> None:
    """Measure what the kernel alone takes for a delivery: writing ready frames to sockets, and nothing else."""
    _bench("floor").main(sockets, events, size)


@bench.command()
def targets(runs: Runs = 3) -> None:
    """Measure all that docs/performance.md promises, against the peers too; print it beside the targets."""
    _judge(_bench("targets").main(runs))


@bench.command()
def report() -> None:
    """Put the newest figures of these benches into docs/performance.md, and draw its plots."""
    _bench("report").main()


def _bench(name: str) -> ModuleType:
    # Ended from outside, a measurement stops what it has started, as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return import_module(f"tests.bench.{name}")
    except ModuleNotFoundError:
        fail("The benchmarks come with a checkout and its development packages.")


def _judge(good: bool) -> None:
    if not good:
        fail("Something was not as promised; see above.")


@dead_letters.command("list")
def list_dead_letters(data: Data = Path(".parley")) -> None:
    """Print a line for each that waits: the job, the topic it came from, its key and why the job failed."""
    import asyncio

    from services.dead_letters import waiting

    servers = settings_of(data, "kafka")[0].kafka_url

    async def run() -> None:
        for letter in await waiting(servers):
            typer.echo(f"{letter.job}\t{letter.topic}\t{(letter.key or b'').decode()}\t{letter.reason}")

    _with_kafka(lambda: asyncio.run(run()))


@dead_letters.command()
def replay(data: Data = Path(".parley")) -> None:
    """Have all that wait tried again."""
    import asyncio

    from services.dead_letters import replay as replay_all
    from services.kafka import Producer

    servers = settings_of(data, "kafka")[0].kafka_url

    async def run() -> int:
        async with Producer(servers).running() as producer:
            return await replay_all(servers, producer)

    count = _with_kafka(lambda: asyncio.run(run()))
    typer.echo(f"{count} tried again")


def _with_kafka[T](work: "Callable[[], T]") -> T:
    import logging

    from services.kafka import FAILURES, KafkaAwayError

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return work()
    except (KafkaAwayError, *FAILURES):
        fail("Kafka does not answer.")


def _run_stack(
    data: Path, *, port: int, replicas: int, workers: int, redis_cluster: bool, ready: "Callable[[Urls], None]"
) -> None:
    from parley.stack.stack import run
    from parley.stack.supervisor import StartError

    def say(line: str) -> None:
        with suppress(OSError):  # nobody listens any more
            typer.echo(f"parley: {line}", err=True)

    try:
        run(
            data.absolute(),
            port=port,
            replicas=replicas,
            workers=workers,
            redis_cluster=redis_cluster,
            ready=ready,
            say=say,
        )
    except StartError as error:
        fail(str(error))


def main() -> None:
    """Run the command line."""
    app()
