"""Benchmarks of fasthde, for airspeed velocity (asv). See README.md here."""
