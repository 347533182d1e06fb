from __future__ import annotations

from chalicelib.jobs import batch_listing
from tests.support.batches import begin
from tests.support.simulator import Stage


def test_batches_are_listed_newest_first_over_the_months(stage: Stage) -> None:
    made = []
    for _ in range(12):
        made.insert(0, begin(stage, "cancel", job_ids=["a"]).batch_id)
        stage.world.forward(days=10)
    pages = [batch_listing.listing(page=page, page_size=10, now=stage.now) for page in (1, 2, 3)]
    assert [batch.batch_id for page in pages for batch in page.items] == made
    assert [page.total for page in pages] == [12, 12, 12]
