"""What `import headway` costs the user's interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.bench import Bench, elapsed_ms
from benchmarks.report import Figure, Goal, percentile

SUMMARY = "import headway, beside a bare interpreter"
_FOREIGN = """
import json, sys
before = set(sys.modules)
import headway
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(roots - set(sys.stdlib_module_names) - {"headway"})))
"""


def measure(bench: Bench) -> list[Figure]:
    bare, ours = [], []
    for _ in range(bench.size(30, 2)):
        bare.append(_run_ms("pass"))
        ours.append(_run_ms("import headway"))
    yardstick = percentile(bare, 0.5)
    foreign = json.loads(_output(_FOREIGN))
    more = [each - yardstick for each in ours]
    return [
        Figure(
            "import headway, start of the interpreter included",
            "ms",
            percentile(ours, 0.5),
            percentile(ours, 0.95),
            yardstick,
            "python -c pass",
        ),
        Figure(
            "import headway alone",
            "ms",
            percentile(more, 0.5),
            percentile(more, 0.95),
            goal=Goal(40),
        ),
        Figure("modules of third parties", "", len(foreign), goal=Goal(0), note=" ".join(foreign)),
    ]


def _run_ms(code: str) -> float:
    return elapsed_ms(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def _output(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout
