"""Every error the index raises on purpose, grouped by what the caller should do.

    DeaiError                    catch this for "anything of ours"
    ├── InputError               the caller's input is wrong: correct it and call again
    │   ├── ConfigError          a setting, a command-line option or an environment variable
    │   ├── MethodologyError     an index, asset or event file does not hold
    │   └── ImportFileError      a file or manifest cannot be read as described (a bad row is a reject)
    ├── NotFoundError            no such index, asset, benchmark, event or level
    ├── NotEnoughDataError       needs more data than there is; says how much there is and is needed
    ├── SourceError              an upstream failed; `retryable` says whether trying again may help
    │   ├── SourceUnavailable    time-out, refused, 5xx: usually resolves itself
    │   │   └── SourceLimited    a rate limit: slow down and ask again
    │   ├── SourceRefused        401, 403, 451: needs a key, another region or another source
    │   └── SourceCorrupt        the answer cannot be what it claims (HTML, cut body, stamps in the future)
    ├── StoreError               the database refused or lost something; nothing was half written
    ├── BusyError                another process holds the work; `retryable`
    │   └── Stopped              the process is stopping amid work, which is taken up at the next start
    └── VerificationError        a recomputed number differs from the stored one

`code` is stable and is what the API and the command line publish; the text may change.
"""

from __future__ import annotations

from typing import ClassVar

from onchain.errors import did_you_mean as did_you_mean  # noqa: PLC0414 - offered here too


class DeaiError(Exception):
    """Root of the tree. `retryable` tells whether the same call may succeed later, unchanged."""

    code: ClassVar[str] = "error"
    retryable: bool = False


class InputError(DeaiError, ValueError):
    code = "invalid_input"


class ConfigError(InputError):
    code = "invalid_setting"


class MethodologyError(InputError):
    code = "invalid_methodology"


class ImportFileError(InputError):
    code = "invalid_import"


class NotFoundError(DeaiError, LookupError):
    code = "not_found"


class NotEnoughDataError(DeaiError):
    code = "not_enough_data"


class SourceError(DeaiError):
    code = "source_error"


class SourceUnavailable(SourceError):  # noqa: N818 - reads as a state, like the words of the field
    code = "source_unavailable"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SourceLimited(SourceUnavailable):
    """The source asks us to slow down: it is well, and so is the question."""

    code = "source_limited"


class SourceRefused(SourceError):  # noqa: N818
    """`outright`: this address is refused whatever it asks (403, 451), not this one question."""

    code = "source_refused"

    def __init__(self, message: str, *, outright: bool = False) -> None:
        super().__init__(message)
        self.outright = outright


class SourceCorrupt(SourceError):  # noqa: N818
    code = "source_corrupt"


class StoreError(DeaiError):
    code = "store_error"


class BusyError(DeaiError):
    code = "busy"
    retryable = True


class Stopped(BusyError):  # noqa: N818 - reads as a state, like the words of the field
    """The process is stopping in the middle of work: it counts as interrupted and is taken up at the next start."""

    code = "stopped"
    retryable = True


class VerificationError(DeaiError):
    code = "verification_failed"
