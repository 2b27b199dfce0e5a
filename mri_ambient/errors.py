"""The one exception a user is meant to read."""


class UserError(Exception):
    """Bad input, told in one sentence: which file, what is wrong, and what to do.

    The command line prints the message alone and exits with code 2.
    """
