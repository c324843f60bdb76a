"""Settings, read once from `PARLEY_…` variables and passed down; nothing else reads the environment."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services import limit_rules


def _comma_separated(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _lowercase(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower() for value in values)


type Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


class Settings(BaseSettings):
    """What an operator can set; each field is the variable `PARLEY_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_", frozen=True)

    mongo_url: str = Field(description="MongoDB connection string; in production a replica set.")
    mongo_database: str = Field(default="parley", description="Name of the MongoDB database.")
    redis_url: str = Field(description="Redis or Valkey URL, for broadcast between processes and what is read often.")
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
        description="PEM file of the Ed25519 key that signs access tokens. Required outside the embedded stack.",
    )
    verification_key_files: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        default=(),
        description="PEM files of further Ed25519 public keys that are accepted, for key rotation; comma-separated.",
    )
    access_token_seconds: int = Field(default=600, ge=1, description="Life of an access token in seconds.")
    refresh_token_days: int = Field(
        default=30, ge=1, description="Life of a refresh token in days; each use renews it."
    )
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
        description="Whether clients may ask for the schema; when left out, on the embedded stack only.",
    )
    rate_limits: Annotated[limit_rules.Rules, NoDecode, BeforeValidator(limit_rules.parsed)] = Field(
        default_factory=limit_rules.Rules,
        description="Changes of the usual limits, as in `messages=60/60, api@ADMIN=off`; `off` for none at all.",
    )

    drain_seconds: float = Field(
        default=2.0, ge=0, le=10, description="How long a stopping process is unready before it closes sockets."
    )
    closing_seconds: float = Field(
        default=10.0, ge=0, le=10, description="Over how long a stopping process closes its sockets, evenly."
    )

    @property
    def allows_introspection(self) -> bool:
        """Whether clients may ask for the schema."""
        return self.embedded if self.introspection is None else self.introspection

    @model_validator(mode="after")
    def _production_has_its_secrets(self) -> "Settings":
        if self.embedded and self.data is None:
            raise ValueError("PARLEY_DATA must name the data directory of the embedded stack")
        if not self.embedded and self.signing_key_file is None:
            raise ValueError("PARLEY_SIGNING_KEY_FILE must name the Ed25519 key that signs access tokens")
        return self
