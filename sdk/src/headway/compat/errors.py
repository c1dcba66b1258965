"""What the shim raises for names, options and methods that Headway has not."""

from __future__ import annotations

from headway.errors import HeadwayError


class NotInHeadway(HeadwayError):
    """Something of Prefect's that Headway has not. The message says what to use instead.

    As an unknown option it is a TypeError too, as a name an ImportError, as a method an AttributeError.
    """


class NoSuchOption(NotInHeadway, TypeError):
    """An option."""


class NoSuchName(NotInHeadway, ImportError):
    """A name to import."""


class NoSuchMethod(NotInHeadway, AttributeError):
    """A method or attribute."""
