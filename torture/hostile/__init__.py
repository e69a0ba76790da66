"""Hostile peers: attempts to get in, of every kind, counted; `python -m torture.hostile`."""
