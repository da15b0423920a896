"""The errors that a user can act on: one clear line that names the input and the reason."""

from __future__ import annotations

from pathlib import Path


class QuellError(Exception):
    """A failure whose message is meant for the user.

    The command prints it as one line, without a traceback.
    """


class InputError(QuellError):
    """An input that cannot be used.

    Parameters
    ----------
    path : Path or str
        The file or folder at fault.
    reason : str
        Why it cannot be used, in a few plain words.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        # A header may carry line breaks; a message stays one line.
        self.reason = " ".join(str(reason).split())
        super().__init__(f"{path}: {self.reason}")


class OutputError(QuellError):
    """An output that cannot be written.

    Parameters
    ----------
    path : Path or str
        The file or folder that could not be written.
    reason : str
        Why, in a few plain words.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = " ".join(str(reason).split())
        super().__init__(f"{path}: {self.reason}")


class ModelError(QuellError):
    """A model that is unknown, damaged or does not fit the request."""
