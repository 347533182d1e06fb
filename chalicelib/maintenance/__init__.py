"""Repairs: sweep finds what a crash left; integrity proves the records and mends them."""
