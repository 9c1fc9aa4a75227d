"""The errors that poolctl raises on purpose."""

CHAIN = 100  # exceptions of a chain that are looked at: one may lead back to itself


class PoolctlError(Exception):
    """Something that the user can mend; its text says how."""


class AppError(PoolctlError):
    """The user's app cannot be used: not importable, not callable, of the wrong shape."""


class ClientGone(ConnectionError):
    """The client closed, reset or stopped reading: nobody is left to answer."""


def comes_of_leaving(error: BaseException | None) -> bool:
    """Whether an exception of an app has a ClientGone at its bottom: frameworks raise one of their own in its place."""
    for _ in range(CHAIN):
        if error is None:
            break
        if isinstance(error, ClientGone):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(map(comes_of_leaving, error.exceptions))
        error = error.__cause__ or error.__context__
    return False
