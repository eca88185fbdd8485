"""What a script can see of a screenshot: holes in the page, and text that runs out of its box.

Used by `browser_frame.shoot` for every picture that browser tests take.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page

TALLEST_HOLE = 420
"""Pixels of nothing at all between two things on a page: more looks like something failed to appear."""

_SPILLED = """() => {
  const main = document.querySelector('[data-testid=stMain]');
  const edge = main.getBoundingClientRect().right + 1;
  const spilled = [];
  for (const element of main.querySelectorAll('p, h1, h2, h3, h4, h5, label, button, [data-testid=stMetricValue]')) {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    if (box.right > edge && !inside(element)) spilled.push(element.innerText.slice(0, 60));
    const style = getComputedStyle(element);
    const cut = element.scrollWidth > element.clientWidth + 2 && style.overflow === 'visible' && style.display !== 'inline';
    if (cut && box.left + element.scrollWidth > edge && !inside(element)) spilled.push(element.innerText.slice(0, 60));
  }
  function inside(element) {
    for (let at = element.parentElement; at && at !== main; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (['auto', 'scroll', 'hidden'].includes(style.overflowX) && at.scrollWidth > at.clientWidth) return true;
    }
    return false;
  }
  return [...new Set(spilled)];
}"""


def spilled_texts(page: Page) -> list[str]:
    """Return the texts that run over the right edge of the page's main part."""
    return list(page.evaluate(_SPILLED))


def tallest_hole(picture: Path, left: int) -> int:
    """Return the height, in pixels, of the tallest band of one colour between two things right of `left`.

    What is below the last thing on the page is no hole.
    """
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"), dtype=np.int16)[:, left + 8 : -24]
    drawn = np.flatnonzero(pixels.max(axis=1) - pixels.min(axis=1) > 6)
    return int(np.diff(drawn).max()) if len(drawn) > 1 else 0


def blank(picture: Path, left: int) -> bool:
    """Return whether there is nothing to see right of `left`: less than two hundredths of the rows show anything."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"), dtype=np.int16)[:, left + 8 : -24]
    return bool((pixels.max(axis=1) - pixels.min(axis=1) > 6).mean() < 0.02)
