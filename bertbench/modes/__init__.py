"""How an encoder is used on a labelled task: one way a file."""
