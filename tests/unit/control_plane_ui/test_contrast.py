"""Every colour pair that the stylesheet can put on a screen is readable (WCAG AA), computed from the stylesheet itself."""

import re
from importlib.resources import files

import pytest

CSS = files("headway_control_plane.ui").joinpath("static/headway.css").read_text()
WORDS = ("text", "muted", "link", "scheduled", "pending", "running", "paused", "cancelling", "completed", "failed", "crashed", "cancelled")  # fmt: skip
STATES = WORDS[3:]


def tokens(block: str) -> dict[str, tuple[int, int, int]]:
    found = re.findall(r"--([a-z-]+): #([0-9a-f]{6})", block)
    return {name: tuple(bytes.fromhex(value)) for name, value in found}


def blocks() -> dict[str, dict[str, tuple[int, int, int]]]:
    light = re.search(r":root \{(.*?)\}", CSS, re.DOTALL)[1]
    system = re.search(r"prefers-color-scheme: dark\) \{\s*:root[^{]*\{(.*?)\}", CSS, re.DOTALL)[1]
    switched = re.search(r':root\[data-theme="dark"\] \{(.*?)\}', CSS, re.DOTALL)[1]
    return {"light": tokens(light), "dark": tokens(system), "switched": tokens(switched)}


def luminance(colour) -> float:
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ratio(one, other) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(colour, ground, part: float):
    return tuple(round(c * part + g * (1 - part)) for c, g in zip(colour, ground, strict=True))


THEMES = blocks()


def test_the_switch_and_the_system_make_the_same_dark():
    assert THEMES["dark"] == THEMES["switched"]
    assert THEMES["light"].keys() == THEMES["dark"].keys()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("ground", ["page", "raised"])
def test_words_are_readable(theme, word, ground):
    assert ratio(THEMES[theme][word], THEMES[theme][ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_badges_and_bars_are_readable(theme, state):
    colours = THEMES[theme]
    badge = mixed(colours[state], colours["page"], 0.12)
    assert ratio(colours[state], badge) >= 4.5
    assert ratio(colours["on-bar"], colours[state]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "raised"])
def test_controls_are_seen(theme, ground):
    assert ratio(THEMES[theme]["border"], THEMES[theme][ground]) >= 3


def test_the_marked_log_line_is_readable():
    for colours in THEMES.values():
        line = mixed(colours["link"], colours["page"], 0.12)
        for word in ("text", "muted", "failed", "pending"):
            assert ratio(colours[word], line) >= 4.5, word
