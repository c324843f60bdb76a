"""How often anybody may do what: the rules as an operator writes them; they count nothing."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ROLES: Final = ("USER", "OPERATOR", "ADMIN")
_ENTRY: Final = re.compile(
    r"(?P<name>[A-Za-z]{1,40})(?:@(?P<role>[A-Z]+))?=(?:off|(?P<limit>[1-9]\d{0,5})/(?P<seconds>[1-9]\d{0,4}))"
)


class Bucket(StrEnum):
    """What is counted together."""

    API = "api"  # requests over HTTP, of a viewer or else an address
    AUTHENTICATION = "authentication"  # whatever could guess a password, of an account and of an address
    MESSAGES = "messages"  # sends, of a user
    LIGHT = "light"  # what clients do without being asked, of a user; it counts in no other
    SOCKET = "socket"  # operations, of one socket
    PLAIN = "plain"  # requests to one plain route, of an address; each process counts its own


@dataclass(frozen=True, slots=True)
class Rule:
    """At most so many in any so many seconds."""

    limit: int
    seconds: int


_DEFAULTS: Final[dict[str, Rule | None]] = {
    Bucket.API: Rule(100, 60),
    Bucket.AUTHENTICATION: Rule(5, 15 * 60),
    Bucket.MESSAGES: Rule(30, 60),
    Bucket.LIGHT: Rule(120, 60),
    Bucket.SOCKET: Rule(50, 60),
    Bucket.PLAIN: Rule(120, 60),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by name, a bucket's or a root field's, and those that are other ones for a role."""

    general: Mapping[str, Rule | None] = field(default_factory=lambda: dict(_DEFAULTS))  # None: as often as one likes
    of_roles: Mapping[tuple[str, str], Rule | None] = field(default_factory=dict)

    @property
    def fields(self) -> frozenset[str]:
        """The root fields that have a rule of their own."""
        names = {*self.general, *(name for name, _ in self.of_roles)}
        return frozenset(names.difference(Bucket))

    @property
    def are_on(self) -> bool:
        """Whether anything is limited."""
        return any(rule is not None for rule in (*self.general.values(), *self.of_roles.values()))

    def of(self, name: str, roles: Iterable[str] = ()) -> Rule | None:
        """Return the rule for somebody with these roles: where several have their own, the most generous."""
        own = [self.of_roles[name, role] for role in roles if (name, role) in self.of_roles]
        if not own:
            return self.general.get(name)
        limited = [rule for rule in own if rule is not None]
        return None if len(limited) < len(own) else max(limited, key=lambda rule: rule.limit / rule.seconds)


def parsed(text: object) -> object:
    """Return the rules of a setting's text: `off`, or changes of the usual ones such as `api=200/60, api@ADMIN=off`.

    Raises:
        ValueError: an entry is none.
    """
    if not isinstance(text, str):
        return text
    if text.strip() == "off":
        return Rules(dict.fromkeys(_DEFAULTS))
    general: dict[str, Rule | None] = dict(_DEFAULTS)
    of_roles: dict[tuple[str, str], Rule | None] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        found = _ENTRY.fullmatch(entry)
        if found is None or found["role"] not in {None, *ROLES}:
            raise ValueError(f"{entry!r} is not `name=limit/seconds`, `name@ROLE=limit/seconds` or `name=off`")
        rule = None if found["limit"] is None else Rule(int(found["limit"]), int(found["seconds"]))
        if found["role"] is None:
            general[found["name"]] = rule
        else:
            of_roles[found["name"], found["role"]] = rule
    return Rules(general, of_roles)
