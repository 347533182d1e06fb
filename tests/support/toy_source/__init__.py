"""A source as a developer would add one, registered by the tests: a shelf of numbered toys."""
