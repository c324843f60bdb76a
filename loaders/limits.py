"""What is left of the caller's limits, by bucket."""

import asyncio
from collections.abc import Awaitable, Callable

from services.limits import Allowance, Standing


def standings_by_bucket(allowance: Allowance) -> Callable[[list[str]], Awaitable[list[Standing | None]]]:
    """Return the function that looks at some, in the order of their names; None where there is no limit."""

    async def load(buckets: list[str]) -> list[Standing | None]:
        return await asyncio.gather(*map(allowance.look, buckets))

    return load
