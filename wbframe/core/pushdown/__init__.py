"""Expressions to the server's filter.

A polars expression becomes a tree, its conjuncts are translated as far as that provably loses no row, and a scan
is narrowed by them. What cannot be proved stays local, with its reason.
"""
