"""The tables of artifacts and metrics, as `tables.py` has the others."""

from headway_control_plane.db.table_maker import make_table

artifact = make_table(
    "artifact",
    "ws version run id",
    """
    bigint ws
    integer version
    uuid run
    bytea id
    bigint fence
    bytea call
    text kind key
    bigint number
    boolean latest
    text media_type
    bigint size_bytes
    bytea content description
    double percent?
    bigint first_offset
    timestamptz saved_at updated_at
    """,
)
metric_batch = make_table(
    "metric_batch",
    "ws version run series call first",
    """
    bigint ws
    integer version
    uuid run
    bytea series call
    bigint first recorded
    text name unit
    bigint first_offset
    timestamptz told_at
    integer kept
    double lowest? highest? newest?
    double[] points
    bigint[] times steps
    """,
)
