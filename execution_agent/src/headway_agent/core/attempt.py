Attempt = tuple[str, int]
"""Names an attempt: run and fence."""
