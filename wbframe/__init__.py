"""Weights & Biases runs and histories as polars, pandas and Arrow frames."""
