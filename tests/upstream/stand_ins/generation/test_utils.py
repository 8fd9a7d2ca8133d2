"""Stands in for a file that is not in the source distribution. SSAST generates nothing."""


class GenerationTesterMixin:
    """Tested models must not be subclasses of it if they cannot generate."""
