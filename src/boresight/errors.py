"""What ends a command without being a defect."""


class Told(Exception):  # noqa: N818
    """Says in one line all that is to be said."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"boresight: {self}"]


class UserError(Told):
    """Something the user gave us cannot be used: a file, a line, a key, a value.

    The message names the place and what to do about it. The command line prints it without a
    traceback and exits with code 2; every other exception is a defect of ours.
    """


class Unfinished(UserError):  # noqa: N818
    """The work failed for what lies outside, as a server without answers, or a limit that was reached.

    What was done is kept, and the same command goes on from there. The command line exits with code 1.
    """


class Interrupted(Told):
    """A signal asked the run to stop. What was done is saved, and the same command goes on from there.

    The command line prints the message and exits with 128 + the signal, as a shell would report it.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal
