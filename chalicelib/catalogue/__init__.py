"""What tasks refer to: reports, sources and calendars; connection tests and previews of reports."""
