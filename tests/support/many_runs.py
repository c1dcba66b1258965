"""Very many runs, made by the database itself: lists are judged by how they read, not by how rows came about."""

from datetime import datetime
from uuid import UUID

from support.postgres import ScratchDatabase

DEPLOYMENTS = [UUID(int=n + 1) for n in range(10)]

_FIXED = """
INSERT INTO workspace (id, name, shard) VALUES (gen_random_uuid(), 'many', 0);
INSERT INTO workspace_head (ws, chain) VALUES (1, '\\x00');
INSERT INTO pool SELECT 1, '00000000-0000-0000-0000-0000000000aa', 1, 'local', '{}', 0, now();
INSERT INTO deployment SELECT 1, lpad(to_hex(n + 1), 32, '0')::uuid, 1, 'deployment-' || n, 'flow-' || n,
  '00000000-0000-0000-0000-0000000000aa', 'default', 'a:b', '', '\\x', '\\x', '', '{}', 0, 0, 'retry', 0, 0, now(), now()
FROM generate_series(0, 9) n;
"""
# One run a millisecond before `now`, newest last. 96 % completed, 3 % failed, the rest spread over what is open.
_RUNS = """
INSERT INTO run
SELECT 1, (lpad(to_hex((extract(epoch FROM %(now)s::timestamptz) * 1000)::bigint - %(count)s + n), 12, '0')
    || '7000a' || lpad(to_hex(n), 15, '0'))::uuid, 1, 0,
  s.status, '', 1, lpad(to_hex(n %% 10 + 1), 32, '0')::uuid, '00000000-0000-0000-0000-0000000000aa', 'flow-' || n %% 10,
  'run ' || n || ' of many', ARRAY['tag-' || n %% 100, 'all'], 'default', 'a:b', '', '\\x', 3, 0, 0, 'retry', 0, 0, 0, 0, NULL,
  c.at, c.at, c.at, CASE WHEN s.status IN ('completed', 'failed') THEN c.at END, '', '\\x', '\\x'
FROM generate_series(1, %(count)s) n
CROSS JOIN LATERAL (SELECT CASE WHEN n %% 100 < 96 THEN 'completed' WHEN n %% 100 < 99 THEN 'failed'
  ELSE (ARRAY['scheduled', 'pending', 'running', 'paused'])[n / 100 %% 4 + 1] END AS status) s
CROSS JOIN LATERAL (SELECT %(now)s::timestamptz - make_interval(secs => (%(count)s - n) / 1000.0) AS at) c
"""
_TAGS = "INSERT INTO run_tag SELECT ws, unnest(tags), run FROM run"


def fill_runs(database: ScratchDatabase, count: int, *, now: datetime) -> None:
    """Fill workspace 1."""
    with database.connect() as connection:
        connection.execute(_FIXED)
        connection.execute(_RUNS, {"now": now, "count": count})
        connection.execute(_TAGS)
        connection.execute("VACUUM ANALYZE run")
        connection.execute("VACUUM ANALYZE run_tag")
