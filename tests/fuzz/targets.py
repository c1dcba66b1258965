"""All fuzzers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fuzz.codec import Codec
from fuzz.frames import Frames
from fuzz.frames_log import FramesLog
from fuzz.harness import Target

TARGETS: Mapping[str, Callable[[], Target]] = {
    target.name: target for target in (Frames, FramesLog, Codec)
}
