"""The logs of runs: written while a run lives, archived at its end, read from either."""
