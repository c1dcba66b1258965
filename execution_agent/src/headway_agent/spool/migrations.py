"""The schema of agent.db, step by step; `user_version` says how many steps a file has taken."""

import sqlite3
from pathlib import Path

from headway_agent.spool.errors import NewerDatabase

MIGRATIONS = (
    """
    CREATE TABLE attempt (
        run TEXT NOT NULL,
        fence INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('assigned', 'running', 'exited', 'closed')),
        run_dir TEXT NOT NULL,
        assignment TEXT NOT NULL,             -- JSON; needed when nothing was started before the agent died
        pid INTEGER NOT NULL DEFAULT 0,       -- of the supervisor, with its start time: names it for good
        start_time INTEGER NOT NULL DEFAULT 0,
        acked_seq INTEGER NOT NULL DEFAULT 0,
        acked_line INTEGER NOT NULL DEFAULT 0,
        assigned_at_us INTEGER NOT NULL,
        closed_at_us INTEGER,
        forgotten_at_us INTEGER,              -- the run is terminal: no later attempt needs the journal
        PRIMARY KEY (run, fence)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX attempt_open ON attempt (state) WHERE state <> 'closed';
    CREATE TABLE identity (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        agent_id TEXT NOT NULL,
        workspace_id TEXT NOT NULL,
        pool TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        private_key BLOB NOT NULL,
        public_key BLOB NOT NULL,
        enrolled_at_us INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE witness (                    -- what the control plane once said of its log; it may not unsay it
        epoch INTEGER NOT NULL,
        "offset" INTEGER NOT NULL,
        chain BLOB NOT NULL,
        seen_at_us INTEGER NOT NULL,
        PRIMARY KEY (epoch, "offset")
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE process (                    -- of this agent: how many there were, or when the last began, whatever is more
        only INTEGER PRIMARY KEY CHECK (only = 1),
        incarnation INTEGER NOT NULL
    ) STRICT;
    """,
)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Takes the steps that the file lacks, each in a transaction of its own."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise NewerDatabase(
            f"{path} has schema {version}, this agent knows {len(MIGRATIONS)}: it was written by a newer headway-agent. "
            "Upgrade headway-agent, or start this one with another state directory."
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
        )
