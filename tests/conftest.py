"""What holds for every test: none of them may fail by chance."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples each time, and no limit of time for one: a machine may be slow, and may do other things.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
