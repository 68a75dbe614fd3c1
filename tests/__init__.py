"""Tests, one file for each module of the package; oracles.py shares no code with it."""
