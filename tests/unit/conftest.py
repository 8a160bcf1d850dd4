"""The unit tier is hermetic."""

from tests.hermetic import *  # noqa: F403 (fixtures for all, and the marker)
