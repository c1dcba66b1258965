"""Stands in for the command `headway` where only its parts' lives matter: serves until its lifeline ends.

Each start appends its words to `started` under $HEADWAY_HOME.
"""

import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Read `--name value` and `--name=value`."""
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        yield name, value if equals else next(rest)


def main(words: list[str]) -> None:
    home = Path(os.environ["HEADWAY_HOME"])
    options = dict(_options(words[2:]))
    token_file = options.get("--token-file")
    told = {
        "pid": os.getpid(),
        "words": words[:2],
        "options": options,
        "database_url": os.environ["HEADWAY_DATABASE_URL"],
        "token": Path(token_file).read_text() if token_file else None,
    }
    with (home / "started").open("a") as file:
        file.write(json.dumps(told) + "\n")
    if "--ready-fd" in options:
        os.write(int(options["--ready-fd"]), b"ready\n")
        os.close(int(options["--ready-fd"]))
    lifeline = options.get("--lifeline-fd") or options["--parent-fd"]
    select.select([int(lifeline)], [], [])
    print(f"{words[0]} drained", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
