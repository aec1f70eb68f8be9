"""Which positions are hidden from a language model: one rule a file."""
