"""All fuzzers, by name."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.agent_stream import AgentStream
from fuzz.codec import Codec
from fuzz.frames import Frames
from fuzz.frames_log import FramesLog
from fuzz.harness import Target
from fuzz.hostile_control import HostileControl
from fuzz.ranges import Ranges

TARGETS: Mapping[str, type[Target]] = {
    target.name: target
    for target in (Frames, FramesLog, Codec, AgentStream, HostileControl, Ranges)
}
