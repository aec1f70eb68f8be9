"""Runs in, MLflow runs out: by way of a journal that outlives whatever happens on the way."""
