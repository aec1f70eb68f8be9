"""Baselines without an encoder for every kind of task: values in, scores out, nothing heavy needed."""
