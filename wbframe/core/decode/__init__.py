"""Bytes to columns: JSON rows, exact cells, Parquet.

What a value is and which dtype it gets is decided here, whoever asked for it. Nothing here knows of runs, keys
that were asked for, or documents.
"""
