"""Pure rules: when tasks fire, which data a job covers, how jobs change status. No AWS, and `now` is an argument.

`zoneinfo` prefers the machine's time-zone data, which is often old: importing this package makes it use the pinned
`tzdata` alone.
"""

from __future__ import annotations

import zoneinfo

import tzdata  # type: ignore[import-untyped]

zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()

# The release of the IANA data in use, e.g. "2026a". `tick` recomputes fire times that another release gave.
TZDATA_VERSION: str = tzdata.IANA_VERSION
