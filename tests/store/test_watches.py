"""Entries of the index of leases that are no jobs: each write holds only under its condition, on either emulator."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.maintenance.sweep import WATCHERS
from chalicelib.store import watches
from chalicelib.store.job_record import JobRecord
from chalicelib.store.watches import Watched
from tests.support.world import START, World

NOW, LATER = START, START + timedelta(minutes=2)


def due_at(kind: Watched, subject: str) -> object:
    entry = watches.find(kind, subject)
    return None if entry is None else entry.lease_until


@pytest.mark.parametrize("kind", Watched)
def test_an_entry_names_its_kind_and_its_subject(kind: Watched) -> None:
    assert watches.subject_of(watches.entry_id(kind, "01ABC")) == (kind, "01ABC")
    assert watches.subject_of("01ABC") is None
    assert watches.subject_of("else.01ABC") is None


def test_sweep_knows_what_to_do_about_each_kind() -> None:
    assert set(WATCHERS) == set(Watched)


def test_an_entry_is_in_the_index_of_leases_until_it_expires(backend: World) -> None:
    watches.keep(Watched.RULE, "t1", until=NOW)
    entry = watches.find(Watched.RULE, "t1")
    assert entry is not None
    assert [row.job_id for row in JobRecord.leases.query(entry.lease_shard)] == ["rule.t1"]
    watches.keep(Watched.RULE, "t1", until=LATER)
    watches.expire(Watched.RULE, "t1", until=NOW, now=NOW)
    assert due_at(Watched.RULE, "t1") == LATER
    watches.expire(Watched.RULE, "t1", until=LATER, now=NOW)
    entry = watches.find(Watched.RULE, "t1")
    assert entry is not None
    assert (entry.lease_shard, entry.lease_until, entry.expires_at) == (None, None, NOW)
    watches.keep(Watched.RULE, "t1", until=LATER)
    entry = watches.find(Watched.RULE, "t1")
    assert entry is not None
    assert (entry.lease_until, entry.expires_at) == (LATER, None)


def test_a_walk_begins_once_and_moves_on_once(backend: World) -> None:
    watches.begin(Watched.PATROL, "open", at=NOW)
    watches.begin(Watched.PATROL, "open", at=LATER)
    first, second = watches.find(Watched.PATROL, "open"), watches.find(Watched.PATROL, "open")
    assert first is not None
    assert second is not None
    assert first.lease_until == NOW
    watches.move_on(first, cursor="running/1", at=LATER)
    watches.move_on(second, cursor="running/2", at=NOW)
    moved = watches.find(Watched.PATROL, "open")
    assert moved is not None
    assert (moved.cursor, moved.lease_until) == ("running/1", LATER)


def test_an_entry_is_deleted_unless_it_was_kept_for_longer(backend: World) -> None:
    watches.keep(Watched.BATCH, "b1", until=LATER)
    watches.delete(Watched.BATCH, "b1", before=NOW)
    assert due_at(Watched.BATCH, "b1") == LATER
    watches.delete(Watched.BATCH, "b1")
    assert due_at(Watched.BATCH, "b1") is None
    watches.delete(Watched.BATCH, "b1")
