"""The one error of this package: always a single line that says what is wrong and what to do."""


class LocalServiceError(Exception):
    """A private server cannot be found, fetched, started or kept."""
