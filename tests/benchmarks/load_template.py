"""A template that waits for each supervisor it forks, and so can tell what supervisor and flow used: in a whole Headway
supervisors are nobody's to wait for, and what they used is in no sum. Usage: load_template.py FOLDER COUNT
"""

import gc
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from typing_extensions import override

from benchmarks.usage import own_cpu
from headway.runtime.__main__ import CHILD, child_named
from headway.runtime.rehearsal import ROUNDS, rehearse
from headway.runtime.template import Template

FLOWS = Path(__file__).with_name("flows")
WARM = 10
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


class WaitingTemplate(Template):
    @override
    def _fork(self, run: Callable[[], None]) -> int:
        pid = super()._fork(run)
        os.waitpid(pid, 0)
        return pid


def main(folder: Path, count: int) -> None:
    """Prints CPU seconds of an attempt: of its supervisor and flow, and of the template that forked them."""
    ours, theirs = socket.socketpair()
    template = WaitingTemplate(theirs, child_named(CHILD))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for _ in range(ROUNDS):  # as a template does while nobody asks
        rehearse()
    gc.freeze()  # as a template does before it serves

    def execute(number: int) -> None:
        directory = _directory(folder / str(number))
        template._handle({"type": "spawn", "id": "1", "run_dir": str(directory)})
        answer = ours.recv(65_536)
        assert b'"spawned"' in answer, answer

    for number in range(WARM):
        execute(number)
    below, own = _cpu_below(), own_cpu()
    for number in range(WARM, WARM + count):
        execute(number)
    attempt, template_share = (_cpu_below() - below) / count, (own_cpu() - own) / count
    print(json.dumps({"attempt": attempt, "template": template_share}))


def _cpu_below() -> float:
    """CPU seconds of all ended children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _directory(run_dir: Path) -> Path:
    """What the agent leaves for an attempt."""
    run_dir.mkdir(parents=True)
    start = {
        "protocol": 1, "run": "0" * 32, "fence": 1, "run_name": "", "flow": "nothing", "deployment": "nothing",
        "entrypoint": "noop:nothing", "root": str(FLOWS), "env": ENV, "parameters": {}, "journal": [],
        "store": str(run_dir), "salt": "", "wake": "",
    }  # fmt: skip
    (run_dir / "start.json").write_text(json.dumps(start))
    return run_dir


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
