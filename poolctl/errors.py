"""The errors that poolctl raises on purpose."""

CHAIN = 100  # exceptions of a chain that are examined


class PoolctlError(Exception):
    """Something that the user can fix; its text says how."""


class AppError(PoolctlError):
    """The user's app cannot be used: it cannot be imported or called, or has the wrong shape."""


class TlsError(PoolctlError):
    """A certificate, key, password, authority or list of ciphers that cannot be used.

    ``option`` is the key of the topology at fault. ``name`` is the host name of a further certificate, empty for the
    listener's own.
    """

    def __init__(self, message: str, option: str, name: str = "") -> None:
        super().__init__(message)
        self.option = option
        self.name = name


class ClientGone(ConnectionError):
    """The client closed or reset the connection, or stopped reading: there is nobody left to answer."""


def said(error: BaseException) -> str:
    """The repr of an app's exception for a message, or a substitute where repr() itself raises."""
    try:
        return repr(error)
    except BaseException:  # noqa: BLE001  # the app's code again
        return f"<{type(error).__name__}, whose repr() failed>"


def comes_of_leaving(error: BaseException | None, above: frozenset[int] = frozenset()) -> bool:
    """Whether an app's exception was caused by a ClientGone, which frameworks wrap in exceptions of their own.

    ``above`` has the identities of the exceptions that were already visited. A chain may have a cycle: raising a member
    of an exception group makes the group its context.
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
