"""The errors that poolctl raises on purpose."""


class PoolctlError(Exception):
    """Something that the user can mend; its text says how."""


class AppError(PoolctlError):
    """The user's app cannot be used: not importable, not callable, of the wrong shape."""


class ClientGone(ConnectionError):
    """The client closed, reset or stopped reading: nobody is left to answer."""
