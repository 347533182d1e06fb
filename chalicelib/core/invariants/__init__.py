"""Invariants of the record: facts that hold for every job at every moment, and how each is repaired."""
