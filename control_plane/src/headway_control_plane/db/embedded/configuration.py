"""The server's settings: durable, light when idle, closed to the network."""

import sys
from pathlib import Path

# Durability is never traded: an event that was acknowledged survives kill -9 and, where the disk is honest, power loss.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

# Nobody replicates from a laptop: less WAL, and no sender, slot or launcher processes. Crash recovery is unaffected.
_ALONE = {
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_replication_slots": "0",
    "max_logical_replication_workers": "0",
}

_SMALL = {
    "max_connections": "100",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    "jit": "off",
    "max_wal_size": "512MB",
    "min_wal_size": "64MB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

# Queue-like tables: dead rows must go early, and one forgotten transaction must not keep them all.
_TIDY = {
    "autovacuum_vacuum_scale_factor": "0.01",
    "autovacuum_vacuum_threshold": "500",
    "autovacuum_vacuum_cost_delay": "0",
    "idle_in_transaction_session_timeout": "10s",
}


def server_settings(major: int, sockets: Path, port: int) -> dict[str, str]:
    """Return the settings for the command line: always those of this code, whatever postgresql.conf says."""
    local = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "port": str(port),
    }
    settings = {**_DURABLE, **_ALONE, **_SMALL, **_TIDY, **local}
    if major >= 18:
        settings["io_method"] = "sync"  # no idle input/output workers
    if sys.platform == "darwin":
        settings["wal_sync_method"] = (
            "fsync_writethrough"  # macOS's plain fsync stops at the drive's cache
        )
    return settings
