"""Every error that Carillon raises on purpose.

    CarillonError
    ├── Malformed              400  the request cannot be read
    │   └── BodyTooLarge       413
    ├── Unauthenticated        401
    ├── Forbidden              403
    ├── NotFound               404
    │   ├── TaskNotFound · JobNotFound · RunNotFound · FileNotAvailable
    │   └── ReportNotFound · SourceNotFound · PoolNotFound · TokenNotFound · BatchNotFound
    ├── MethodNotAllowed       405  the address exists, with other methods
    ├── Conflict               409  the record is in the wrong state
    │   ├── WrongState
    │   ├── RequestInProgress       the first request of an Idempotency-Key is still being answered
    │   ├── NameTaken
    │   ├── StillReferenced
    │   └── BreaksTasks             jobs of tasks that use the record would fail with the edit
    ├── StaleRevision          412  the record was edited since it was read
    ├── Invalid                422  a field's value cannot be accepted
    │   ├── InvalidSchedule         also a ValueError; the pure rules raise it
    │   └── RecordTooLarge          the store raises it for a record that DynamoDB cannot hold
    ├── TooManyRequests        429
    ├── Unavailable            503  a service that Carillon depends on did not answer
    ├── FiringIncomplete            tick and sweep raise it for the alarm, after the rest of their work
    └── RunError                    why a run failed; a preview or a source's test answers it with 422
        ├── PreconditionMissing     something the run needs does not exist; the job is blocked
        ├── ParametersRefused
        ├── AddressRefused
        ├── SourceUnreachable
        ├── SourceRefused
        ├── ConnectionDropped
        ├── QueryFailed
        ├── QueryInterrupted
        ├── StatementTimedOut
        ├── EmptyResult
        ├── FileNotWritten
        └── Stopped                 a cancel, the deadline, or the end of the worker's own time

A class's docstring is its default message, which callers see. `api/errors.py` maps classes to HTTP statuses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# The form of every reason that says that a precondition is missing.
PRECONDITION_REASON = re.compile(r"no_[a-z][a-z0-9_]{0,60}")


@dataclass(frozen=True)
class FieldProblem:
    """A field of the caller's input, e.g. `schedule.expression`, and what is wrong with it."""

    field: str
    message: str


class CarillonError(Exception):
    """Something went wrong."""

    def __init__(
        self, message: str | None = None, *, field: str | None = None, problems: list[FieldProblem] | None = None
    ):
        self.message = message or (type(self).__doc__ or "").strip()
        self.problems = list(problems or [])
        if field is not None:
            self.problems.append(FieldProblem(field, self.message))
        super().__init__(self.message)

    @property
    def field(self) -> str | None:
        """The first field that has a problem, if any."""
        return self.problems[0].field if self.problems else None


class Malformed(CarillonError):
    """The request cannot be read."""


class BodyTooLarge(Malformed):
    """The request body is too large."""


class Unauthenticated(CarillonError):
    """No valid token came with the request: send Authorization: Bearer <token>."""


class Forbidden(CarillonError):
    """The token's role may not do this."""


class NotFound(CarillonError):
    """There is no such record."""


class TaskNotFound(NotFound):
    """There is no such task."""


class JobNotFound(NotFound):
    """There is no such job."""


class RunNotFound(NotFound):
    """There is no such run."""


class FileNotAvailable(NotFound):
    """The job has no file to download."""


class ReportNotFound(NotFound):
    """There is no such report."""


class SourceNotFound(NotFound):
    """There is no such source."""


class PoolNotFound(NotFound):
    """There is no such pool."""


class TokenNotFound(NotFound):
    """There is no such token."""


class BatchNotFound(NotFound):
    """There is no such batch."""


class MethodNotAllowed(CarillonError):
    """This address has no such method."""

    def __init__(self, allowed: Sequence[str] = ()):
        """`allowed` are the methods that the address has."""
        super().__init__(f"This address has no such method; it has {', '.join(allowed)}." if allowed else None)
        self.allowed = list(allowed)


class Conflict(CarillonError):
    """The record's state does not allow this."""


class WrongState(Conflict):
    """The record's status does not allow this."""


class RequestInProgress(Conflict):
    """The first request with this key is still being answered."""


class NameTaken(Conflict):
    """Another record has this name."""


class StillReferenced(Conflict):
    """Another record still uses this one."""


class BreaksTasks(Conflict):
    """Jobs of tasks that use this record would fail with the edit."""


class StaleRevision(CarillonError):
    """The record was edited since it was read."""


class Invalid(CarillonError):
    """A field's value cannot be accepted."""


class InvalidSchedule(Invalid, ValueError):
    """The schedule cannot be accepted."""


class RecordTooLarge(Invalid):
    """The record would be larger than 400 KB, which is all that DynamoDB holds of one."""


class TooManyRequests(CarillonError):
    """Too many requests; try again later."""


class Unavailable(CarillonError):
    """A service this depends on did not answer."""


class FiringIncomplete(CarillonError):
    """Not everything that was due could be looked after; the rest was."""


class RunError(CarillonError):
    """The run failed."""

    # A permanent error is not retried: the same input would fail the same way again.
    permanent = True
    # Whether a statement may still run at the source: its server could not be told to end it.
    may_still_run = False


class PreconditionMissing(RunError):
    """Something the run needs does not exist."""

    def __init__(self, message: str | None = None, *, reason: str):
        """`reason` is the reason of the blocked job, e.g. no_source; `ValueError` for one of another form."""
        if not PRECONDITION_REASON.fullmatch(reason):
            raise ValueError(f"{reason!r} is the reason of another end: a missing precondition is no_<thing>")
        super().__init__(message)
        self.reason = reason


class ParametersRefused(RunError):
    """A parameter of the report is missing, unknown or of the wrong type."""


class AddressRefused(RunError):
    """The stage does not allow connections to this address."""


class SourceUnreachable(RunError):
    """The source's database cannot be reached."""

    permanent = False


class SourceRefused(RunError):
    """The source's database refused the user or the password."""


class ConnectionDropped(RunError):
    """The connection to the source broke before the last row."""

    permanent = False


class QueryFailed(RunError):
    """The database refused the query."""


class QueryInterrupted(RunError):
    """The database broke the query off; the same query may succeed later."""

    permanent = False


class StatementTimedOut(RunError):
    """The statement ran longer than its limit."""


class EmptyResult(RunError):
    """The query gave no rows, and the task asks for at least one."""

    permanent = False


class FileNotWritten(RunError):
    """The file could not be written to storage."""

    permanent = False


class Stopped(RunError):
    """The run was asked to stop."""
