"""The composition root: the HTTP API, and the functions that AWS starts. Handler names are infrastructure: never rename one."""

from __future__ import annotations

from chalice import Chalice

from chalicelib.api import authorizer, registry

app = Chalice(app_name="carillon", configure_logs=False)
# JSON only: nothing is binary, so nothing is sent as base64.
app.api.binary_types = []
app.register_blueprint(authorizer.bp)
for _blueprint in registry.blueprints():
    app.register_blueprint(_blueprint)
