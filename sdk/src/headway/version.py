"""The SDK's version; a test holds it equal to the distribution's."""

__version__ = "0.1.0"
