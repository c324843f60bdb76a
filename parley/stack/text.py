"""Text search in the embedded MongoDB: a text index is kept by SQLite's own full-text index, FTS5.

As it comes, mongoeco answers `$text` by looking at every document. Here a collection with one index, one of text on a
field after one that queries name exactly, has a table of FTS5 beside it. Triggers keep the two the same, whoever
writes, so a document is found by its words at any time.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

# What a query may ask for: phrases that must all be there, of plain words.
_SEARCH: Final = re.compile(r'"[^\W_]+( [^\W_]+)*"( "[^\W_]+( [^\W_]+)*")*')
_FIELD: Final = re.compile("[A-Za-z]+")
_MATCHING: Final = (
    "SELECT d.storage_key, d.document FROM {table} t CROSS JOIN documents d ON d.rowid = t.rowid "
    "WHERE {table} MATCH ? AND d.storage_key {where} ORDER BY d.storage_key {order} LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class TextIndex:
    """A text index that this can keep."""

    database: str
    collection: str
    prefix: str  # the field that a query names exactly
    text: str  # the field with the words

    @property
    def table(self) -> str:
        """The name of its table."""
        digest = hashlib.sha256(repr((self.database, self.collection, self.prefix, self.text)).encode())
        return f"parley_text_{digest.hexdigest()[:16]}"

    def prepare(self, conn: sqlite3.Connection) -> None:
        """Make the table and what keeps it up to date, unless they are there."""
        if conn.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self.table,)).fetchone():
            return
        table, insert = self.table, f"INSERT INTO {self.table} (rowid, prefix, words) "
        delete = f"DELETE FROM {table} WHERE rowid = old.rowid;"  # noqa: S608  # the name is a digest
        made = [
            f"CREATE VIRTUAL TABLE {table} USING fts5(prefix, words, tokenize = 'unicode61 remove_diacritics 0')",
            f"{insert} SELECT {self._values('documents')} FROM documents WHERE {self._is_ours('documents')}",  # noqa: S608
        ]
        made += [
            f"CREATE TRIGGER {table}_{event} AFTER {event} ON documents WHEN {self._is_ours(row)} BEGIN {effect} END"
            for event, row, effect in (
                ("INSERT", "new", f"{insert} VALUES ({self._values('new')});"),
                ("DELETE", "old", delete),
                ("UPDATE", "new", f"{delete} {insert} VALUES ({self._values('new')});"),
            )
        ]
        for statement in made:
            conn.execute(statement)

    def _values(self, row: str) -> str:
        fields = ", ".join(f"json_extract({row}.document, '$.{field}')" for field in (self.prefix, self.text))
        return f"{row}.rowid, {fields}"

    def _is_ours(self, row: str) -> str:
        database, collection = (name.replace("'", "''") for name in (self.database, self.collection))
        return f"{row}.db_name = '{database}' AND {row}.coll_name = '{collection}'"

    def find(
        self, conn: sqlite3.Connection, query: dict[str, Any], span: tuple[str, list[str]], *, limit: int, order: str
    ) -> Iterable[tuple[str, str]]:
        """Return the storage keys and documents that fulfil a query, in the order of the keys.

        Raises:
            ValueError: the query asks for something else than phrases.
        """
        prefix, text = query[self.prefix], query["$text"]
        if (
            type(prefix) is not str
            or '"' in prefix
            or type(text) is not dict
            or text.keys() != {"$search"}
            or not _SEARCH.fullmatch(text["$search"])
        ):
            raise ValueError("not phrases alone")
        phrases = " AND ".join(re.findall('"[^"]+"', text["$search"].lower()))
        where, keys = span
        sql = _MATCHING.format(table=self.table, where=where, order=order)
        return conn.execute(sql, (f'prefix : "{prefix}" AND words : ({phrases})', *keys, limit))


def text_index(database: str, collection: str, indexes: Iterable[Any]) -> TextIndex | None:
    """Return the index of a collection that has just one, of a kind that this can keep; None for any others."""
    match [index.key for index in indexes]:
        case [[(prefix, 1), (text, "text")]] if _FIELD.fullmatch(prefix) and _FIELD.fullmatch(text):
            return TextIndex(database, collection, prefix, text)
    return None
