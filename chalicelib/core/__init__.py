"""The pure rules: what fires when, over which data, and what happens when it cannot. No AWS, no clock.

`zoneinfo` prefers the machine's time-zone data, which is often old; here only the pinned `tzdata` counts.
"""

from __future__ import annotations

import zoneinfo

import tzdata  # type: ignore[import-untyped]

zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()

# The release of the IANA data in force (e.g. "2026a"). Fire times computed under another release are recomputed.
TZDATA_VERSION: str = tzdata.IANA_VERSION
