"""A path in, its records out: one file for each family of formats, and `opening` to choose among them."""
