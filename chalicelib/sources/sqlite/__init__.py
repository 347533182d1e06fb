"""SQLite: a file in the stage's data folder."""
