"""The soak: torture with a clock. `python -m torture.soak --help`."""
