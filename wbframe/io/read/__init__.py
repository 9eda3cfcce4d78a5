"""Carries out plans: sends their requests, overlaps them, and hands on what came back, in order.

One module a kind of read; `outcome` says how each went, `parts` asks for less where it was too much. No face,
and no polars scan, is known here.
"""
