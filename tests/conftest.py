"""Hypothesis profiles: the same examples every time; --hypothesis-profile=explore draws new ones."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fasthde", derandomize=True, print_blob=True, **_COMMON)
settings.register_profile("explore", derandomize=False, print_blob=True, **_COMMON)
settings.load_profile("fasthde")
