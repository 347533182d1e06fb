"""What tasks refer to: reports, sources, calendars; and asking a source while a person waits."""
