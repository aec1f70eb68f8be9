"""bertbench: which encoder, trained how and used how, is worth it on your data."""

__version__ = "0.1.0"
