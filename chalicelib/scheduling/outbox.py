"""Sends the tokens of planned jobs, in batches, while other jobs are still planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

from chalicelib import clock
from chalicelib.aws import sqs
from chalicelib.log import event
from chalicelib.queue.leases import token_of
from chalicelib.retrying import SERVICE_ERRORS, retried
from chalicelib.store.job_record import JobRecord


class Outbox:
    """Sends tokens in batches: each as soon as it is full, the rest when the tick asks for it."""

    def __init__(self, now: datetime, *, time_left: Callable[[], float]):
        self.now, self.time_left, self.begun = now, time_left, clock.monotonic()
        self.sent = self.unsent = 0
        self._waiting: list[JobRecord] = []
        self._lock = Lock()

    def add(self, job: JobRecord) -> None:
        with self._lock:
            self._waiting.append(job)
            batch = self._take() if len(self._waiting) >= sqs.BATCH else []
        self._send(batch)

    def send_all(self) -> None:
        while True:
            with self._lock:
                batch = self._take()
            if not batch:
                return
            self._send(batch)

    def _take(self) -> list[JobRecord]:
        batch, self._waiting = self._waiting[: sqs.BATCH], self._waiting[sqs.BATCH :]
        return batch

    def _send(self, batch: list[JobRecord]) -> None:
        if not batch:
            return
        try:
            retried(lambda: send_tokens(batch, now=self._sent_at()), time_left=self.time_left)
        except SERVICE_ERRORS as error:
            ids = [job.job_id for job in batch]
            event("tokens cannot be sent; sweep sends them", level="ERROR", job_ids=ids, error=str(error))
            with self._lock:
                self.unsent += len(batch)
        else:
            with self._lock:
                self.sent += len(batch)

    def _sent_at(self) -> datetime:
        """Now: planning may have taken seconds, and SQS delays a token from the moment it is sent."""
        return self.now + timedelta(seconds=clock.monotonic() - self.begun)


def send_tokens(batch: Sequence[JobRecord], *, now: datetime) -> None:
    sqs.send([(token_of(job), job.not_before) for job in batch], now=now)
