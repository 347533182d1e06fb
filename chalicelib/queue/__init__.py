"""A job from waiting to its end: leases, concurrency limits, admission, claim, completion; pools and positions."""
