"""Tracked runs in, a comparison sheet out; reads records only."""
