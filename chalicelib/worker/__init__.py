"""Work: a token, a claim, a run of the kind, and its end; what the run costs."""
