"""One view per route: it calls one use case and returns the result, from which `blueprint.py` makes the answer."""
