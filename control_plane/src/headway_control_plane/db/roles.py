"""The database roles that the first migration creates, from the most to the least powerful."""

from enum import StrEnum


class Role(StrEnum):
    """Who a connection acts as. Row-level security and grants hang on this, not on the login."""

    OWNER = "headway_owner"
    MAINTENANCE = "headway_maintenance"
    COMMITTER = "headway_committer"
    PROJECTOR = "headway_projector"
    DISPATCHER = "headway_dispatcher"
    APP = "headway_app"
    AUTH = "headway_auth"
    AUDITOR = "headway_auditor"
