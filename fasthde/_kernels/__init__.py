"""Compiled code: arrays and scalars in, arrays out; no validation, no exceptions."""
