"""What bad input raises: a sentence for the person, exit code 2 for the shell."""


class UserError(ValueError):
    """Input that cannot be used.

    The message is one sentence that says what was expected, what came, and what to do about it.
    The command line prints it and exits with 2; a node logs it, at most once a second, and goes on.
    """


class Interrupted(BaseException):
    """SIGINT or SIGTERM came.

    Not KeyboardInterrupt: where one leaves a string that is executed (a dataclass being made),
    CPython remembers it and ends ``python -m`` by SIGINT, whatever is caught.
    """


class BadImage(UserError):  # noqa: N818 (named for what it is, like its siblings in cv_bridge)
    """An image that cannot be used; ``reason`` is the short key it is counted under."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


NO_MEMORY = (
    'the memory is not enough for images of this size: scale them down, or raise the limit (ulimit '
    '-v, the container)'
)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; the libraries have no exception type in common for it."""
    words = ('Insufficient memory', 'bad allocation', 'bad_alloc', 'ailed to allocate')
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def quoted(value: object) -> str:
    """What somebody gave, as messages show it: in quotes, and cut where it is long."""
    text = repr(value[:1000] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 60 else f'{text[:60]}…'


def told(error: BaseException) -> str:
    """What a library says of its trouble, on one line, and cut where it is long."""
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f'{text[:300]}…'
