"""Measures ratchet beside pyzmq and beside plain C on libzmq; README.md explains how."""
