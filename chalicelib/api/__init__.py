"""HTTP: routes, models, the authorizer, the error map. A view calls one use case and returns its result."""

# The same as in pyproject.toml; a test compares them.
VERSION = "0.1.0"
# The name of API Gateway's stage: outside, every path begins with it.
BASE = "/api"
