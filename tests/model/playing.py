"""What every run of the model needs: tables, a clock, threads that run in turn, ids that repeat."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from chalicelib.kinds import registry
from tests.model import work
from tests.model.aws import Aws, in_memory
from tests.model.processes import moment
from tests.support.simulator import PROBE, Probe


class OneByOne:
    """A pool of threads that works in the caller's thread, at once: a sequence is the same each time it is played."""

    def __init__(self, threads: int):
        pass

    def __enter__(self) -> OneByOne:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def map(self, act: Callable[..., Any], *given: Iterable[Any]) -> list[Any]:
        return [act(*each) for each in zip(*given, strict=False)]

    def submit(self, act: Callable[..., Any], *given: Any) -> Future[Any]:
        made: Future[Any] = Future()
        made.set_result(act(*given))
        return made


@contextmanager
def playing(*, quietly: bool = True) -> Iterator[Aws]:
    """The machine's world inside the block. With `quietly`, the product's log is thrown away."""
    with ExitStack() as stack:
        aws = stack.enter_context(in_memory())
        aws.moment = moment
        for patched in (
            mock.patch.dict(registry.KINDS, {"probe": "tests.support.simulator:probe"}),
            mock.patch("chalicelib.scheduling.outbox.clock", SimpleNamespace(monotonic=lambda: 0.0)),
            mock.patch("chalicelib.clock.pause"),
            mock.patch("chalicelib.scheduling.tick.ThreadPoolExecutor", OneByOne),
            mock.patch("chalicelib.core.ids.os.urandom", lambda size: next(aws.numbers).to_bytes(size, "big")),
        ):
            stack.enter_context(patched)
        if quietly:
            stack.enter_context(mock.patch.object(sys, "stdout", io.StringIO()))
        PROBE.behaviour, PROBE.works_on = work.behave, Probe().works_on
        work.AWS[:] = [aws]
        yield aws
        work.AWS.clear()
        PROBE.behaviour = Probe().behaviour
