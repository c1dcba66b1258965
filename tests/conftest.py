"""Fixtures for all tests live in support/; this file only names them."""

pytest_plugins = ["support.postgres", "support.log_fixtures", "support.fault_report"]
