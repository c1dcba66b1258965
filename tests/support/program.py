"""Stands in for the command `headway` where only its parts' lives matter: serves until its lifeline ends.

Each start appends its words to `started` under $HEADWAY_HOME.
"""

import json
import os
import select
import sys
from pathlib import Path


def main(words: list[str]) -> None:
    home = Path(os.environ["HEADWAY_HOME"])
    options = dict(zip(words[2::2], words[3::2], strict=True))
    token_file = options.get("--enrolment-token-file")
    told = {
        "pid": os.getpid(),
        "words": words[:2],
        "options": options,
        "database_url": os.environ["HEADWAY_DATABASE_URL"],
        "token": Path(token_file).read_text() if token_file else None,
    }
    with (home / "started").open("a") as file:
        file.write(json.dumps(told) + "\n")
    ready = int(options["--ready-fd"])
    os.write(ready, b"ready\n")
    os.close(ready)
    select.select([int(options["--lifeline-fd"])], [], [])
    print(f"{words[0]} drained", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
