"""The tests of the lab, its EC2 and the drill are hermetic."""

from tests.hermetic import *  # noqa: F403 (fixtures for all, and the marker)
