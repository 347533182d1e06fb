from __future__ import annotations

from tests.support.world import World, a_world, table_declarations


def test_every_declared_table_exists(world: World) -> None:
    names = world.client("dynamodb").list_tables()["TableNames"]
    assert sorted(names) == sorted(item["TableName"] for item in table_declarations())


def test_worlds_share_nothing() -> None:
    with a_world() as one:
        one.client("s3").put_object(Bucket=one.bucket, Key="left", Body=b"behind")
    with a_world() as two:
        assert two.objects() == {}
        assert two.messages() == []
        assert two.items("jobs") == []
