# SPDX-License-Identifier: GPL-2.0-or-later
"""Wait for a state instead of sleeping through a guess."""
import time

# Generous: a sanitizer build on two busy cores must never fail for slowness.
DEADLINE_S = 30.0
INTERVAL_S = 0.02


class NeverHappened(AssertionError):
    """The awaited state did not come before the deadline."""


def until(probe, what, deadline_s=DEADLINE_S, interval_s=INTERVAL_S):
    """Return the first truthy value of probe().

    An OSError or AssertionError of probe() counts as "not yet", and the last
    one is told when the deadline has passed.
    """
    end = time.monotonic() + deadline_s
    last = None
    while True:
        try:
            value = probe()
            if value:
                return value
            last = repr(value)
        except (OSError, AssertionError) as e:
            last = f"{type(e).__name__}: {e}"
        if time.monotonic() >= end:
            raise NeverHappened(f"{what}: not within {deadline_s:g} s, "
                                f"last seen: {last}")
        time.sleep(interval_s)
