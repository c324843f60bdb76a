"""Settings, read once from `PARLEY_…` variables and passed down; nothing else reads the environment."""

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services import limit_rules
from services.alert_rules import RULES, AlertRule
from services.alert_rules import parsed as parsed_alert_rules


def _comma_separated(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _lowercase(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower() for value in values)


def with_password(url: str, password: str) -> str:
    """Return a URL with the password of the user that it names.

    Raises:
        ValueError: there is a password in it already.
    """
    scheme, separator, rest = url.partition("://")
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    user, _, hosts = rest[:end].rpartition("@")
    if ":" in user:
        raise ValueError("has a password of its own")
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{hosts}{rest[end:]}"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"


type Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


class Settings(BaseSettings):
    """What an operator can set; each field is the variable `PARLEY_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="PARLEY_",
        frozen=True,
        # An error that quoted its input would put passwords into the log.
        hide_input_in_errors=True,
    )

    mongo_url: str = Field(repr=False, description="MongoDB connection string; in production a replica set.")
    mongo_password_file: Path | None = Field(
        default=None, description="File with the password of the user that the connection string names."
    )
    mongo_database: str = Field(default="parley", description="Name of the MongoDB database.")
    redis_url: str = Field(
        repr=False,
        description="Redis or Valkey URL, for broadcast between processes and what is read often; of a cluster one or "
        "more nodes, comma-separated.",
    )
    redis_password_file: Path | None = Field(default=None, description="File with the password of Redis.")
    kafka_url: str = Field(description="Kafka bootstrap servers, host:port; comma-separated.")
    kafka_replication: int = Field(
        default=1, ge=1, description="Copies that Kafka keeps of each topic, where a worker makes it; in production 3."
    )
    kafka_retention_hours: int = Field(
        default=168,
        ge=1,
        description="How long Kafka keeps events, and from how far back it is refilled when it lost them.",
    )
    embedded: bool = Field(default=False, description="Set by `parley up`: the servers are the embedded ones.")
    data: Path | None = Field(default=None, description="Directory of the embedded stack's data and keys.")
    signing_key_file: Path | None = Field(
        default=None,
        description="PEM file of the Ed25519 key that signs access tokens; required where an API is not embedded.",
    )
    verification_key_files: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        default=(),
        description="PEM files of further Ed25519 public keys that are accepted, for key rotation; comma-separated.",
    )
    access_token_seconds: int = Field(default=600, ge=1, description="Life of an access token in seconds.")
    refresh_token_days: int = Field(
        default=30, ge=1, description="Life of a refresh token in days; each use renews it."
    )
    oidc_issuer: str | None = Field(
        default=None,
        description="Address of an OpenID Connect issuer whose ID tokens sign people in; https unless embedded.",
    )
    oidc_audience: str | None = Field(default=None, description="Client id at that issuer that its tokens must be for.")
    audit_days: int = Field(default=180, ge=1, description="How long the audit log is kept, in days.")
    password_threads: int = Field(default=2, ge=1, description="Threads that hash passwords.")
    operators: Annotated[Names, AfterValidator(_lowercase)] = Field(
        default=(),
        description="Handles that become OPERATOR when they register; comma-separated, on the embedded stack only.",
    )
    allowed_origins: Names = Field(
        default=(),
        description="Web origins, besides the API's own, that browsers may call from; comma-separated, * for all.",
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_comma_separated)] = (
        Field(
            default=(),
            description="Networks of the proxies whose X-Forwarded-For and X-Request-ID are believed; comma-separated.",
        )
    )
    introspection: bool | None = Field(
        default=None,
        description="Whether clients may ask for the schema and GraphiQL; when left out, on the embedded stack only.",
    )
    documents_file: Path | None = Field(
        default=None,
        description="JSON manifest of trusted documents beside those of the pages: a list, or by their ids.",
    )
    trusted_only: bool = Field(
        default=False, description="Whether only trusted documents are run, but for OPERATOR and ADMIN."
    )
    rate_limits: Annotated[limit_rules.Rules, NoDecode, BeforeValidator(limit_rules.parsed)] = Field(
        default_factory=limit_rules.Rules,
        description="Changes of the usual limits, as in `messages=60/60, api@ADMIN=off`; `off` for none at all.",
    )
    sockets_per_user: int = Field(
        default=50, ge=1, description="Sockets that a user may have open at a process, of all sessions together."
    )
    sockets_per_address: int = Field(
        default=500, ge=1, description="Sockets that may be open at a process from one address."
    )

    away_seconds: float = Field(
        default=300.0, gt=0, description="After how long without an operation a device counts as away."
    )
    presence_seconds: float = Field(
        default=300.0, ge=1, description="How long a presence may be believed that was told; it is confirmed before."
    )
    drain_seconds: float = Field(
        default=2.0, ge=0, le=10, description="How long a stopping process is unready before it closes sockets."
    )
    metrics: bool = Field(
        default=True,
        description="Whether API processes count and report what they do; off only to measure what that costs.",
    )
    traces_url: str | None = Field(
        default=None,
        description="Address of a collector that takes traces as OTLP over HTTP; needs the extra `tracing`.",
    )
    sentry_dsn: str | None = Field(
        default=None, repr=False, description="DSN of Sentry, which is told of failures; needs the extra `sentry`."
    )
    log_level: LogLevel = Field(
        default=LogLevel.INFO,
        description="What is logged: `info`, or `debug`, where workers name each event that a job has handled too.",
    )
    closing_seconds: float = Field(
        default=10.0, ge=0, le=10, description="Over how long a stopping process closes its sockets, evenly."
    )

    push_after_seconds: float = Field(
        default=10.0, ge=0, description="How long after a message whoever has not got it is sent a push."
    )
    push_preview: bool = Field(
        default=True,
        description="Whether a push shows who wrote and how the message begins, or only that there is one.",
    )
    push_key_file: Path | None = Field(
        default=None,
        description="PEM file of the P-256 key that Web Push is sent under (VAPID); without it there is no Web Push.",
    )
    push_contact: str = Field(
        default="mailto:parley@localhost",
        pattern="^(mailto:|https://).",
        description="Where push services reach whoever runs Parley: a mailto or https address.",
    )
    push_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_comma_separated)] = (
        Field(default=(), description="Networks of one's own that push endpoints may be in; comma-separated.")
    )
    push_insecure: bool = Field(
        default=False, description="Whether push endpoints may be http addresses, which is for tests."
    )

    canary_urls: Names = Field(
        default=(),
        description="Addresses of API instances, at each of which a worker sends and listens every 10 s.",
    )

    alert_rules: Annotated[tuple[AlertRule, ...], NoDecode, BeforeValidator(parsed_alert_rules)] = Field(
        default=RULES,
        description="Changes of the alert rules, as in `OutboxOld=120, JobsBehind=5000/600, LoopLate=off`.",
    )
    alert_seconds: float = Field(default=15.0, ge=0.1, description="How often a worker judges by the alert rules.")
    alert_webhook_url: str | None = Field(
        default=None, pattern="^https?://.", description="Address that is told of alerts, by signed requests."
    )
    alert_webhook_secret_file: Path | None = Field(
        default=None, description="File with the secret that these are signed with, as webhooks of pushes are."
    )
    fsck_hours: float = Field(
        default=24.0, ge=0, description="How often a worker does what `parley fsck` does, in hours; 0: never."
    )

    clock_offset_seconds: float = Field(
        default=0.0,
        description="How far ahead this process's clock pretends to be, for fault runs; on the embedded stack only.",
    )

    @model_validator(mode="before")
    @classmethod
    def _passwords_come_from_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        found = dict(values)
        for part in ("mongo", "redis"):
            url, file = found.get(f"{part}_url"), found.get(f"{part}_password_file")
            if not url or not file:
                continue
            variable = f"PARLEY_{part.upper()}_PASSWORD_FILE"
            try:
                password = Path(file).read_text().strip()
            except OSError as error:
                raise ValueError(f"{variable} cannot be read: {error.strerror}") from None
            if not password:
                raise ValueError(f"{variable} names an empty file")
            try:
                found[f"{part}_url"] = with_password(url, password)
            except ValueError as error:
                raise ValueError(f"PARLEY_{part.upper()}_URL {error}, and {variable} is set") from None
        return found

    @property
    def allows_introspection(self) -> bool:
        """Whether clients may ask for the schema."""
        return self.embedded if self.introspection is None else self.introspection

    @model_validator(mode="after")
    def _an_issuer_is_whole(self) -> "Settings":
        if (self.oidc_issuer is None) is not (self.oidc_audience is None):
            raise ValueError("PARLEY_OIDC_ISSUER and PARLEY_OIDC_AUDIENCE belong together")
        schemes = ("https://", "http://") if self.embedded else ("https://",)
        if self.oidc_issuer is not None and not self.oidc_issuer.startswith(schemes):
            raise ValueError("PARLEY_OIDC_ISSUER must begin with https://")
        return self

    @model_validator(mode="after")
    def _embedded_has_its_data(self) -> "Settings":
        if self.embedded and self.data is None:
            raise ValueError("PARLEY_DATA must name the data directory of the embedded stack")
        if self.clock_offset_seconds and not self.embedded:
            raise ValueError("PARLEY_CLOCK_OFFSET_SECONDS is for the embedded stack only")
        return self
