"""The version of wbframe."""

__version__ = "0.1.0"
