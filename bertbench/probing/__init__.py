"""Frozen encoders: texts in, features out, and linear models on them, one file a way of reading."""
