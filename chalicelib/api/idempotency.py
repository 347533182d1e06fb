"""`Idempotency-Key`: a request that is repeated under the same key is executed once, also when a process dies.

accept ──> execute ──> the answer is stored, and every repeat gets it
  │          ├─ refused (4xx): the record is deleted, since nothing was done
  │          └─ failed (5xx) or the process died: the next repeat executes it again, with the same ids
  └─ the key is known: answered -> the stored answer; still executing -> 409; another body -> 422
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chalicelib.access.actor import Actor
from chalicelib.core.record_bounds import ANSWER_BYTES
from chalicelib.errors import CarillonError, Invalid, RequestInProgress, Unavailable
from chalicelib.store import idempotency as store
from chalicelib.store.idempotency import RequestRecord

HEADER = "Idempotency-Key"
# How long a record is kept.
KEPT = timedelta(hours=24)
# A request executes at most this long: API Gateway gives up after 29 s, and the function a second later.
LEASE = timedelta(seconds=35)

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, ready to send."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    # Stored for repeats instead of `body`, when the body has fields that are shown once.
    kept_body: str | None = None


def once(
    key: str,
    *,
    actor: Actor,
    target: str,
    payload: Any,
    now: datetime,
    do: Callable[[datetime, str], Answer],
    keep_answer: bool = True,
) -> Answer:
    """The answer of `do(accepted_at, unique)`, or the stored one of an earlier request. `target`: method and path."""
    if not _KEY.fullmatch(key):
        raise Invalid("A key is 1 to 255 visible ASCII characters.", field=HEADER)
    request_id = _request_id(actor, target, key)
    record = _begin(request_id, _fingerprint(key, payload), now=now)
    if record.status is not None and record.headers is not None and record.body is not None:
        return Answer(int(record.status), record.body, {**record.headers, "Idempotent-Replayed": "true"})
    try:
        answer = do(record.accepted_at, request_id)
    except CarillonError as error:
        if isinstance(error, Unavailable):
            store.release(record, at=now)
        else:
            store.forget(record)
        raise
    except Exception:
        store.release(record, at=now)
        raise
    kept = answer.body if answer.kept_body is None else answer.kept_body
    # A repeat of a request with a longer answer executes it again.
    if keep_answer and len(kept.encode()) <= ANSWER_BYTES:
        store.keep_answer(record, status=answer.status, headers=answer.headers, body=kept)
    else:
        store.release(record, at=now)
    return answer


def _request_id(actor: Actor, target: str, key: str) -> str:
    """By the caller's token or subject: callers of one name do not get each other's answers.

    A request that was accepted before this was so is known by the name; such records end with their 24 hours.
    """
    by_name = _digest(actor.role, actor.name, target, key)
    if store.find(by_name) is not None:
        return by_name
    return _digest(actor.identity, actor.role, target, key)


def _begin(request_id: str, fingerprint: str, *, now: datetime) -> RequestRecord:
    """A record that this process may execute, or one that has an answer."""
    made = store.accept(request_id, fingerprint, now=now, lease=LEASE, kept=KEPT)
    if made is not None:
        return made
    known = store.find(request_id)
    if known is not None and not hmac.compare_digest(known.fingerprint, fingerprint):
        raise Invalid("This key was sent with another request before.", field=HEADER)
    if known is not None and known.status is not None:
        return known
    # No record: the first request was refused between the two calls; to this caller it still executes.
    if known is None or known.lease_until > now or not store.take_over(known, now=now, lease=LEASE):
        raise RequestInProgress(field=HEADER)
    return known


def _fingerprint(key: str, payload: Any) -> str:
    # An HMAC, whose key is not stored: a body may hold a password, and a plain hash of it could be guessed.
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
