"""What is raised when a promise is broken."""

from __future__ import annotations


class Violation(Exception):
    """A promise is broken.

    Args:
        promise: which, in a word: what counts as the same failure when a run is shrunk.
        message: by whom, and how.
    """

    def __init__(self, promise: str, message: str) -> None:
        super().__init__(promise, message)
        self.promise, self.message = promise, message

    def __str__(self) -> str:
        return f"{self.promise}: {self.message}"
