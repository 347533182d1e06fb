"""A kind as a developer would add one, registered by the tests: it takes toys from a shelf and lists them in a file."""
