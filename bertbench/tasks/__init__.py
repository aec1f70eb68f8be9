"""Labelled data of any kind: where it comes from, and what is made of it before anything learns."""
