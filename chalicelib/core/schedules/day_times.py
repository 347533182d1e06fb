"""The times of day at which a schedule fires, as an ascending sequence of seconds.

A schedule may fire 86,400 times a day. A list of so many numbers takes 3 MB, and a function keeps many schedules in
memory, so more than a few times are kept as hours, minutes and seconds, and each is computed when it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise

# Up to so many times are listed: that is quicker, and small.
MOST_LISTED = 288


@dataclass(frozen=True, slots=True)
class TimesOfDay(Sequence[int]):
    """Every hour with every minute with every second, each ascending; of all of these those from `begin` to `end`."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    begin: int
    end: int

    @property
    def per_hour(self) -> int:
        return len(self.minutes) * len(self.seconds)

    def __len__(self) -> int:
        return self.end - self.begin

    def __getitem__(self, key):  # type: ignore[no-untyped-def]  # Sequence has one overload for each kind of key
        if isinstance(key, slice):
            begin, end, step = key.indices(len(self))
            if step != 1:
                raise ValueError("Only a part without steps can be taken.")
            return TimesOfDay(self.hours, self.minutes, self.seconds, self.begin + begin, self.begin + max(begin, end))
        if not -len(self) <= key < len(self):
            raise IndexError(key)
        hour, rest = divmod(key + (self.begin if key >= 0 else self.end), self.per_hour)
        minute, second = divmod(rest, len(self.seconds))
        return self.hours[hour] * 3600 + self.minutes[minute] * 60 + self.seconds[second]

    def __iter__(self) -> Iterator[int]:
        return (self[k] for k in range(len(self)))


@lru_cache(maxsize=1024)
def times_of_day(hours: frozenset[int], minutes: frozenset[int], seconds: frozenset[int]) -> Sequence[int]:
    """The seconds of a day at which hour, minute and second are among those given."""
    parts = tuple(sorted(hours)), tuple(sorted(minutes)), tuple(sorted(seconds))
    times = TimesOfDay(*parts, 0, len(hours) * len(minutes) * len(seconds))
    return tuple(times) if len(times) <= MOST_LISTED else times


def closest_pair(times: Sequence[int]) -> tuple[int, int] | None:
    """The neighbours that are closest to each other; None when there are fewer than two times."""
    pairs: Collection[tuple[int, int]]
    if isinstance(times, TimesOfDay):
        # Neighbours of one hour lie as far apart as in the next; those of two hours do not.
        pairs = [*pairwise(islice(times, 2 * times.per_hour))]
        first_of_hour = -times.begin % times.per_hour
        pairs += [(times[k - 1], times[k]) for k in range(first_of_hour, len(times), times.per_hour) if k]
    else:
        pairs = [*pairwise(times)]
    return min(pairs, key=lambda pair: pair[1] - pair[0], default=None)
