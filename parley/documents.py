"""Documents that are known by an id: those that are trusted, from manifests, and those that callers have registered.

A request may name a document by `documentId`, as the GraphQL over HTTP draft has it, or by `extensions.persistedQuery`,
as Apollo's automatic persisted queries do. The id is the SHA-256 of the text, or what a manifest calls it.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parley.asked import Asked
from parley.execution import Errors, RequestRefused
from services.tokens import Claims
from services.users import Role

REGISTERED: Final = 1_000  # documents of callers
REGISTERED_CHARACTERS: Final = 1_000_000  # of all of them
LONGEST_REGISTERED: Final = 20_000  # characters; a longer one is sent whole each time
PREFIX: Final = "sha256:"
MANIFEST: Final = "documents.json"  # of a page, beside it
_TRYING: Final = frozenset({Role.OPERATOR, Role.ADMIN})  # who may also run what is not trusted, where others may not


@dataclass(frozen=True, slots=True)
class Meant:
    """The document that a request means."""

    text: str
    register_as: str | None = None  # the hash by which it is to be known, if it proves to be good


class Documents:
    """The documents of a process."""

    def __init__(self, trusted: Mapping[str, str], *, trusted_only: bool) -> None:
        """Prepare.

        Args:
            trusted: Texts by the ids that manifests give them.
            trusted_only: Whether no others are run, but for operators.
        """
        self.trusted = {**trusted, **{digest(text): text for text in trusted.values()}}
        self._trusted_only = trusted_only
        self._registered: OrderedDict[str, str] = OrderedDict()  # by hash, the newest used last
        self._characters = 0

    def meant(self, asked: Asked, claims: Claims | None) -> Meant:
        """Return which document a request means.

        Raises:
            RequestRefused: it means none that is known, or none that is allowed.
        """
        query, persisted = asked.query, (asked.extensions or {}).get("persistedQuery")
        if asked.document_id is not None and query is not None:
            raise _refused("Send `query` or `documentId`, not both.")
        if asked.document_id is not None:
            return self._named(asked.document_id.removeprefix(PREFIX), claims)
        if persisted is not None:
            return self._persisted(query, persisted, claims)
        if query is None:
            raise _refused("`query` must be a string, where `documentId` names no document.")
        if self._is_restricted(claims) and digest(query) not in self.trusted:
            raise _refused("Only documents that are trusted here are run.", "FORBIDDEN")
        return Meant(query)

    def register(self, meant: Meant) -> None:
        """Know a document by its hash from now on, if that was asked for; those used longest ago are forgotten."""
        key = meant.register_as
        if key is None or key in self._registered:
            return
        self._registered[key] = meant.text
        self._characters += len(meant.text)
        while len(self._registered) > REGISTERED or self._characters > REGISTERED_CHARACTERS:
            _, forgotten = self._registered.popitem(last=False)
            self._characters -= len(forgotten)

    def _persisted(self, query: str | None, persisted: object, claims: Claims | None) -> Meant:
        if not isinstance(persisted, dict) or not isinstance(persisted.get("sha256Hash"), str):
            raise _refused("`extensions.persistedQuery` must be an object with `version` and `sha256Hash`.")
        if persisted.get("version") != 1:
            raise _refused("Unsupported persisted query version")
        key = persisted["sha256Hash"].lower()
        if query is None:
            return self._named(key, claims)
        if digest(query) != key:
            raise _refused("provided sha does not match query")
        if key in self.trusted:
            return Meant(query)
        if self._is_restricted(claims):
            raise _refused("Only documents that are trusted here are run.", "FORBIDDEN")
        may_register = claims is not None and not self._trusted_only and len(query) <= LONGEST_REGISTERED
        return Meant(query, key if may_register else None)

    def _named(self, key: str, claims: Claims | None) -> Meant:
        text = self.trusted.get(key)
        if text is None and not self._is_restricted(claims):
            text = self._registered.get(key)
            if text is not None:
                self._registered.move_to_end(key)
        if text is not None:
            return Meant(text)
        # What Apollo's link looks for, word for word: after NOT_FOUND it sends the text, else it always does so.
        if self._trusted_only:
            raise _refused("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
        raise _refused("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")

    def _is_restricted(self, claims: Claims | None) -> bool:
        return self._trusted_only and (claims is None or not claims.roles & _TRYING)


def open_documents(pages: Path, manifest: Path | None, *, trusted_only: bool) -> Documents:
    """Read what is trusted: the documents of the pages that are built, and those of the operator's manifest.

    Raises:
        ValueError: a manifest cannot be read.
    """
    paths = [*sorted(pages.glob(f"*/{MANIFEST}")), *([manifest] if manifest else [])]
    trusted = {key: text for path in paths for key, text in _read(path)}
    return Documents(trusted, trusted_only=trusted_only)


def _read(path: Path) -> Iterable[tuple[str, str]]:
    """Return the documents of a manifest: a list of texts, texts by id, or what Apollo's tools write."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"The manifest {path} cannot be read: {error}") from None
    if not isinstance(content, (dict, list)):
        content = {"": None}
    if isinstance(content, dict) and content.get("format") == "apollo-persisted-query-manifest":
        content = {operation.get("id"): operation.get("body") for operation in content.get("operations", ())}
    found = list(content.items()) if isinstance(content, dict) else [("", text) for text in content]
    if not all(isinstance(part, str) for pair in found for part in pair):
        raise ValueError(f"The manifest {path} is no list of documents, and no object of documents by id")
    return [(key.removeprefix(PREFIX) or digest(text), text) for key, text in found]


def digest(text: str) -> str:
    """Return the hash by which a text is known."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _refused(message: str, code: str = "BAD_USER_INPUT") -> RequestRefused:
    errors: Errors = [{"message": message, "extensions": {"code": code, "retryable": False}}]
    return RequestRefused(errors)
