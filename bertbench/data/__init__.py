"""Corpora and labelled tasks in, batches of token ids out."""
