"""HTTP: blueprints, request and response models, the authorizer, the error map. Parses, calls a use case, answers."""

# The same as pyproject.toml's; a test holds them together.
VERSION = "0.1.0"
# The name of API Gateway's stage, which is where paths begin outside.
BASE = "/api"
