"""The errors that poolctl raises on purpose."""

CHAIN = 100  # exceptions of a chain that are looked at


class PoolctlError(Exception):
    """Something that the user can mend; its text says how."""


class AppError(PoolctlError):
    """The user's app cannot be used: not importable, not callable, of the wrong shape."""


class TlsError(PoolctlError):
    """A certificate, key, password, authority or list of ciphers that cannot be used.

    ``option``: the key of the topology at fault. ``name``: of a further certificate; empty for the listener's own.
    """

    def __init__(self, message: str, option: str, name: str = "") -> None:
        super().__init__(message)
        self.option = option
        self.name = name


class ClientGone(ConnectionError):
    """The client closed, reset or stopped reading: nobody is left to answer."""


def said(error: BaseException) -> str:
    """An exception of the app for a message, though its own words may raise anything."""
    try:
        return repr(error)
    except BaseException:  # noqa: BLE001  # the app's code again
        return f"<{type(error).__name__}, whose repr() failed>"


def comes_of_leaving(error: BaseException | None, above: frozenset[int] = frozenset()) -> bool:
    """Whether an exception of an app has a ClientGone at its bottom: frameworks raise one of their own in its place.

    ``above``: those on the way to it. A chain may lead back: who raises a member of a group makes the group its
    context.
    """
    for _ in range(CHAIN):
        if error is None or id(error) in above:
            break
        if isinstance(error, ClientGone):
            return True
        above |= {id(error)}
        if isinstance(error, BaseExceptionGroup):
            return all(comes_of_leaving(each, above) for each in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
