"""What pages show, computed from what the projections return. Pure: no database, no request."""
