"""The figures: `make bench`. Each is a ratio to something measured in the same run, or a count."""
