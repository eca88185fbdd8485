"""Automatic checks of a screenshot: holes in the page, and text that runs out of its box.

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


_FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const parse = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = c => {
    const [r, g, b] = c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== 'none') return null;
      const colour = parse(style.backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const faint = new Set();
  for (const element of document.querySelectorAll('[data-testid=stApp] *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (element.closest('button:disabled, [aria-disabled=true], [disabled], svg, canvas, [data-stale=true], [data-testid=stSliderThumbValue]')) continue;
    if ([...element.parentElement.querySelectorAll(':disabled')].length) continue;
    let shown = 1;
    for (let at = element; at; at = at.parentElement) shown *= Number(getComputedStyle(at).opacity);
    const under = behind(element), style = getComputedStyle(element);
    if (!under) continue;
    const colour = parse(style.color); colour[3] *= shown;
    const a = light(over(colour, under)), b = light(under);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(style.fontSize);
    const icon = element.matches('[data-testid=stIconMaterial]');
    const large = icon || size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5) - .05) faint.add(`${ratio.toFixed(2)}: ${element.textContent.trim().slice(0, 40)} (${style.color})`);
  }
  return [...faint];
}"""


def faint_texts(page: Page) -> list[str]:
    """Return the texts whose contrast with what is behind them is below WCAG AA (4.5 to 1; 3 to 1 for large text)."""
    return list(page.evaluate(_FAINT))


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
