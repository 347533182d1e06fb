"""A source's password goes to the address that it was given for, and to no other, however edits meet."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.access.actor import Actor
from chalicelib.aws import secrets
from chalicelib.catalogue import sources
from chalicelib.errors import StaleRevision
from chalicelib.store import catalogue as store
from tests.support.api_records import Make
from tests.support.http import Http
from tests.support.world import World

ADA = Actor(name="ada", role="admin")


def password_of(source_id: str) -> str | None:
    """What a run connects with: the record first, then the secret that it names."""
    record = store.get_source(source_id)
    if not record.has_secret:
        return None
    found = secrets.get(secrets.source_name(source_id), record.secret_version).get("password")
    return None if found is None else str(found)


def pair_of(source_id: str) -> tuple[str, str | None]:
    record = store.get_source(source_id)
    found = secrets.get(secrets.source_name(source_id), record.secret_version).get("password")
    return str(record.settings["host"]), found if record.has_secret else None


def body_for(make: Make, host: str) -> dict[str, Any]:
    """An edit: the address, and the password that belongs to it."""
    body = make.postgres_body()
    return body | {
        "description": "",
        "settings": body["settings"] | {"host": host},
        "password": f"the password of {host}",
    }


def belongs(pair: tuple[str, str | None]) -> bool:
    host, password = pair
    return password in (None, f"the password of {host}")


def test_a_password_left_out_stays_and_null_removes_it(admin: Http, make: Make, world: World) -> None:
    source_id = make.source(**make.postgres_body())["source_id"]
    path, body = f"/sources/{source_id}", make.postgres_body(name="Shop 2")
    given = body.pop("password")
    assert admin.put(path, body).json["has_secret"] is True
    assert password_of(source_id) == given
    admin.put(path, body | {"password": "another"})
    assert password_of(source_id) == "another"
    assert admin.put(path, body | {"password": None}).json["has_secret"] is False
    assert password_of(source_id) is None
    assert world.client("secretsmanager").list_secrets()["SecretList"] == []
    assert admin.put(path, body | {"password": "a third"}).json["has_secret"] is True
    assert password_of(source_id) == "a third"


# Each call of an edit to the record or the secret: a reader and a whole other edit come before it and after it.
CALLS = [(secrets, "add"), (store, "overwrite"), (store, "get_source"), (secrets, "delete")]


@pytest.mark.parametrize("removes", [False, True], ids=["replaces", "removes"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("module", "name"), CALLS, ids=[name for _, name in CALLS])
def test_no_password_reaches_another_address_where_another_edit_comes_between(
    make: Make, world: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, when: str, removes: bool
) -> None:
    source_id = make.source(**body_for(make, "one.example"))["source_id"]
    real, meeting = getattr(module, name), []
    seen: list[tuple[str, str | None]] = []

    def meet() -> None:
        if not meeting:
            meeting.append(True)
            seen.append(pair_of(source_id))
            sources.replace(source_id, body_for(make, "three.example"), revision=None, actor=ADA, now=world.now)
            seen.append(pair_of(source_id))

    def meets(*args: Any, **more: Any) -> Any:
        if when == "before":
            meet()
        try:
            return real(*args, **more)
        finally:
            if when == "after":
                meet()

    monkeypatch.setattr(module, name, meets)
    edit = body_for(make, "two.example") | ({"password": None} if removes else {})
    try:
        sources.replace(source_id, edit, revision=1, actor=ADA, now=world.now)
    except StaleRevision:
        assert meeting
    seen.append(pair_of(source_id))
    assert all(belongs(pair) for pair in seen), seen


def test_edits_that_race_leave_the_password_of_the_address_that_won(make: Make, world: World) -> None:
    """Many times over, with a reader that looks all the while."""
    source_id = make.source(**body_for(make, "host-0.example"))["source_id"]
    over, wrong = threading.Event(), []

    def read() -> None:
        while not over.is_set():
            # As a run does: the record, and then the secret that goes with it.
            record = store.get_source(source_id)
            secret = secrets.get(secrets.source_name(source_id), record.secret_version)
            pair = str(record.settings["host"]), secret.get("password")
            if not belongs(pair) or pair[1] is None:
                wrong.append(pair)

    def edit(number: int) -> None:
        with suppress(StaleRevision):
            sources.replace(
                source_id, body_for(make, f"host-{number}.example"), revision=None, actor=ADA, now=world.now
            )

    reader = threading.Thread(target=read)
    reader.start()
    for begin in range(1, 21, 4):
        editors = [threading.Thread(target=edit, args=(number,)) for number in range(begin, begin + 4)]
        for each in editors:
            each.start()
        for each in editors:
            each.join()
    over.set()
    reader.join()
    assert wrong == []
    assert belongs(pair_of(source_id))


def test_a_record_of_earlier_code_keeps_its_password_until_it_gets_a_new_one(make: Make, world: World) -> None:
    """Earlier code named no version: such a record has the secret's first one, and none that is added later."""
    source_id = make.source(**body_for(make, "old.example"))["source_id"]
    record = store.get_source(source_id)
    store.overwrite(record, {"secret_version": None}, revision=int(record.revision))
    assert pair_of(source_id) == ("old.example", "the password of old.example")
    # An edit that dies after adding its version has changed nothing for the record.
    secrets.add(secrets.source_name(source_id), secrets.version_name(9, "lost"), {"password": "of another address"})
    assert pair_of(source_id) == ("old.example", "the password of old.example")
    later = world.now + timedelta(minutes=1)
    sources.replace(source_id, body_for(make, "new.example"), revision=None, actor=ADA, now=later)
    assert pair_of(source_id) == ("new.example", "the password of new.example")


def test_a_version_is_named_by_the_revision_that_it_belongs_to(make: Make, admin: Http) -> None:
    source_id = make.source(**make.postgres_body())["source_id"]
    names: list[str] = []
    for revision in (1, 2, 3):
        found = store.get_source(source_id).secret_version
        assert found.startswith(f"revision-{revision}-")
        assert 32 <= len(found) <= 64, "what Secrets Manager takes"
        names.append(found)
        admin.put(f"/sources/{source_id}", make.postgres_body())
    assert len(set(names)) == 3


def test_a_source_that_an_earlier_version_made_is_renamed_and_keeps_its_password(admin: Http, make: Make) -> None:
    """`prefer` was the default, and is read as the safe mode: so it need not be given again, and is no new address."""
    source_id = make.source(**make.postgres_body())["source_id"]
    record = store.get_source(source_id)
    old = {name: value for name, value in record.settings.items() if name not in ("ca_certificate", "read_timeout")}
    store.overwrite(record, {"settings": old | {"sslmode": "prefer"}}, revision=int(record.revision))
    renamed = admin.send("PATCH", f"/sources/{source_id}", {"name": "Renamed"})
    assert (renamed.status, renamed.json["settings"]["sslmode"]) == (200, "verify-full"), renamed.raw
    assert password_of(source_id) == make.postgres_body()["password"]
    body = make.postgres_body()
    del body["password"]
    reply = admin.put(f"/sources/{source_id}", body | {"settings": old | {"sslmode": "prefer"}})
    assert (reply.status, reply.fields) == (422, ["settings.sslmode"])
