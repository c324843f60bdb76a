"""What every resolver is given: the services, the loaders of this operation, who asks, and how much more it may do."""

from dataclasses import dataclass, field
from typing import Protocol

import strawberry

from loaders import Loaders
from services.errors import Unauthenticated
from services.limits import Allowance, Caller
from services.services import Services
from services.tokens import Claims


class Line(Protocol):
    """A connection that goes on after an answer, with the token that its caller came with."""

    def renewed(self, claims: Claims) -> None:
        """Go on with a newer token, if it is one of the same session."""

    def signed_out(self) -> None:
        """Say nothing of the end of the session, which the caller has asked for on this connection."""


def caller(claims: Claims | None, address: str | None = None) -> Caller:
    """Return who is counted for an operation."""
    if claims is None:
        return Caller(address=address)
    return Caller(user_id=claims.user_id, address=address, roles=claims.roles)


@dataclass(frozen=True, slots=True)
class Context:
    """The context of one operation or one event."""

    services: Services
    claims: Claims | None  # None when the caller is not signed in
    line: Line | None = None  # None where the answer is all: over HTTP, and for events
    allowance: Allowance = None  # type: ignore[assignment]  # an event's is made here: it has entered nowhere
    loaders: Loaders = field(init=False)

    def __post_init__(self) -> None:
        if self.allowance is None:
            object.__setattr__(self, "allowance", Allowance(self.services.limits, caller(self.claims)))
        object.__setattr__(self, "loaders", Loaders(self.services, self.allowance))

    @property
    def viewer(self) -> Claims:
        """Who asks.

        Raises:
            Unauthenticated: nobody that is known.
        """
        if self.claims is None:
            raise Unauthenticated("Sign in and send the access token as `Authorization: Bearer …`.")
        return self.claims

    @property
    def viewer_id(self) -> str:
        """The id of who asks; raises as `viewer`."""
        return self.viewer.user_id


class SharedContext(Context):
    """The context of an event that is executed once for many viewers: there is nobody to ask about."""

    @property
    def viewer(self) -> Claims:
        """Fail loudly: what depends on the viewer must not be shared."""
        raise RuntimeError("a field that depends on the viewer was resolved in a shared execution")


Info = strawberry.Info[Context, None]
