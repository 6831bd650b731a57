"""Time as an argument. The SDK's clocks are the services' too: one port, one real clock, one fake."""

from davylamp_sdk._clock import Clock, SystemClock
from davylamp_sdk.testing import FakeClock

__all__ = ["Clock", "FakeClock", "SystemClock"]
