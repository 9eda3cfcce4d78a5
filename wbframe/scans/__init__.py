"""Lazy frames: the sources that polars calls, over the same tasks as the eager readers.

What a query wants is found out here and handed to `core.pushdown`; nothing is sent but by `io.read`.
"""
