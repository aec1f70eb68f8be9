"""The encoder families, on transformers' own classes."""
