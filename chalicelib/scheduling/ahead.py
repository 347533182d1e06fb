"""What planning ahead moves on a task, and how an edit takes it back.

`tick` plans slots up to its horizon before they come, and each moves what the task knows of its slots: the last one
that ran or was to run, and where the windows missed in a row begin. An edit cancels the jobs of slots still to come, so
the task must know again what it knew before them. It keeps that in `ahead`, one entry a slot, written with the move.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chalicelib.core.local_time import epoch_seconds, from_seconds
from chalicelib.core.record_bounds import AHEAD_MOST
from chalicelib.core.schedules.fires import latest_fire
from chalicelib.scheduling.calendars import calendar_of
from chalicelib.store.task_record import TaskRecord

# A slot in the task's column `ahead`, then `previous_fire_at` and `missed_since` before it; in UTC seconds.
Entry = list[int | None]


@dataclass(frozen=True)
class Progress:
    """What a task knows of its slots up to an instant."""

    previous_fire_at: datetime | None
    missed_since: datetime | None


def with_entry(task: TaskRecord, slot: datetime, *, now: datetime) -> list[Entry] | None:
    """The task's entries once this slot is planned: those of slots still to come; None for no entry."""
    moment = epoch_seconds(now)
    entries = [entry for entry in task.ahead or [] if _at(entry) > moment]
    if slot > now:
        entries.append([epoch_seconds(slot), _seconds(task.previous_fire_at), _seconds(task.missed_since)])
    return entries[-AHEAD_MOST:] or None


def progress_at(task: TaskRecord, instant: datetime) -> Progress:
    """What the task knew before the first slot planned after the instant."""
    for slot, previous, missed in task.ahead or []:
        if slot is not None and from_seconds(slot) > instant:
            return Progress(_instant(previous), _instant(missed))
    if task.previous_fire_at is None or task.previous_fire_at <= instant:
        return Progress(task.previous_fire_at, task.missed_since)
    # Planned before tasks had these entries.
    found = latest_fire(task.schedule, at_or_before=instant, calendar=calendar_of(task.schedule))
    return Progress(None if found is None or found <= task.created_at else found, None)


def _at(entry: Entry) -> int:
    return entry[0] or 0


def _seconds(instant: datetime | None) -> int | None:
    return None if instant is None else epoch_seconds(instant)


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else from_seconds(seconds)
