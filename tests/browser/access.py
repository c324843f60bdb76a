"""Rules of accessibility, judged by axe."""

from pathlib import Path
from typing import Any, Final, Literal

from playwright.async_api import Page

SCHEMES: Final[tuple[Literal["light"], Literal["dark"]]] = ("light", "dark")
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


async def violations(page: Page) -> list[dict[str, Any]]:
    """Return what is wrong with what is on screen, in light and in dark."""
    found: list[dict[str, Any]] = []
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        if not await page.evaluate("() => 'axe' in window"):
            await page.add_script_tag(path=AXE)
        # What is still fading in has not its colours yet.
        await page.evaluate(
            "() => Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations < 9)"
            ".map((a) => a.finished))"
        )
        found += await page.evaluate(
            """async (scheme) => (await axe.run()).violations.map(({ id, nodes }) =>
                ({ scheme, id, nodes: nodes.map(({ html, failureSummary }) => [html, failureSummary]) }))""",
            scheme,
        )
    return found
