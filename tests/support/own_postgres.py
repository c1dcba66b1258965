"""A process that owns an embedded PostgreSQL, to be killed by tests. Usage: own_postgres.py HOME BIN_FOLDER

Prints one line of JSON when the server takes connections and gives the server back when standard input ends.
"""

import json
import sys
from pathlib import Path

from headway_control_plane.db.embedded import EmbeddedPostgres, find_binaries


def main(home: Path, folder: Path) -> None:
    with EmbeddedPostgres(home, find_binaries(folder)) as postgres:
        postmaster = int((postgres.data / "postmaster.pid").read_text().split()[0])
        print(json.dumps({"url": postgres.url(), "postmaster": postmaster}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
