"""The one error that is the user's to mend."""


class UserError(Exception):
    """Something the user gave us cannot be used: a file, a line, a key, a value.

    The message names the place and what to do about it. The command line prints it without a
    traceback and exits with code 2; every other exception is a defect of ours.
    """
