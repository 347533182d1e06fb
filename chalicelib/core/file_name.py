"""The name of a file, from a template and the slot of its job.

Keys: `{task}` `{query}` `{job_id}`, and `{window_start}` `{window_end}` `{scheduled_for}` in the task's zone, with an
optional strftime format: `{window_start:%Y%m%d}`. The result is safe on every system: no separators, reserved
characters or names, no control characters, no trailing dot or space, NFC, at most 200 bytes of UTF-8.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator
from datetime import datetime

from chalicelib.core.local_time import aware_utc, zone
from chalicelib.errors import Invalid

MAX_TEMPLATE = 200
# ext4, NTFS and S3 tools take 255 bytes; the rest is for a suffix such as " (1)" or ".part".
MAX_BYTES = 200
DEFAULT_TIME_FORMAT = "%Y%m%dT%H%M%S"

FIELD = "spec.file_name"
TEXT_KEYS = ("task", "query", "job_id")
TIME_KEYS = ("window_start", "window_end", "scheduled_for")

# The directives that give the same text on every machine; the others depend on the machine or its language.
_DIRECTIVES = frozenset("YmdHMSyjVGuwzZ%")
_RESERVED = re.compile(r'[<>:"/\\|?*]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
_EXTENSION = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,3}")
_EXTENSION_AT_END = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,3}$")


def accept(template: object, *, has_window: bool) -> str:
    """The template, in NFC, or Invalid (field `spec.file_name`) with what is wrong."""
    if not isinstance(template, str) or not template.strip():
        raise _refuse("A file name is needed.")
    template = unicodedata.normalize("NFC", template.strip())
    if len(template) > MAX_TEMPLATE:
        raise _refuse(f"A file name has at most {MAX_TEMPLATE} characters.")
    if any(_is_control(character) for character in template):
        raise _refuse("A file name has no control characters.")
    for literal, key, spec in _parts(template):
        if ".." in literal:
            raise _refuse("A file name has no '..'.")
        if found := _RESERVED.search(literal):
            raise _refuse(f"{found[0]!r} cannot be part of a file name.")
        if key is not None:
            _check_key(key, spec, has_window=has_window)
    return template


def render(
    template: str,
    *,
    task: str,
    window_start: datetime | None,
    window_end: datetime | None,
    scheduled_for: datetime,
    timezone: str,
    job_id: str,
    query: str = "",
    extension: str = "",
) -> str:
    """The file name; `extension` (such as `.csv.gz`) is added when the name does not end in it already."""
    tz = zone(timezone)
    texts = {"task": task, "query": query, "job_id": job_id}
    times = {"window_start": window_start, "window_end": window_end, "scheduled_for": scheduled_for}
    parts = []
    for literal, key, spec in _parts(template):
        parts.append(literal)
        if key in texts:
            parts.append(texts[key])
        elif key is not None:
            instant = times.get(key)
            if instant is None:
                raise _refuse(f"{{{key}}} has no value here.")
            parts.append(_time_text(aware_utc(instant, field=key).astimezone(tz), spec or DEFAULT_TIME_FORMAT))
    return safe("".join(parts), extension=extension, otherwise=job_id)


def safe(name: str, *, extension: str = "", otherwise: str = "file") -> str:
    """Any text as a file name that is valid on every system; characters that are not allowed become `_`."""
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if _is_control(character) else character for character in name)
    name = _RESERVED.sub("_", name).strip(". \u3000")
    if extension and not extension.startswith("."):
        extension = f".{extension}"
    if extension and name.lower().endswith(extension.lower()):
        name, extension = name[: -len(extension)], name[-len(extension) :]
    elif not extension and (match := _EXTENSION_AT_END.search(name)) and match.start() > 0:
        name, extension = name[: match.start()], match[0]
    name = _cut(name, MAX_BYTES - len(extension.encode())).rstrip(". ")
    if not name.strip("._- "):
        name = otherwise
    if _DEVICES.fullmatch(name + extension):
        name = f"_{name}"
    return name + extension


def _parts(template: str) -> Iterator[tuple[str, str | None, str]]:
    """`(literal text, key or None, format)`, as `string.Formatter` cuts a template."""
    try:
        for literal, key, spec, conversion in string.Formatter().parse(template):
            if conversion:
                raise _refuse(f"'!{conversion}' means nothing in a file name.")
            yield literal, key, spec or ""
    except ValueError as error:
        raise _refuse(f"The braces do not match: {error}.") from error


def _check_key(key: str, spec: str, *, has_window: bool) -> None:
    if key in TEXT_KEYS:
        if spec:
            raise _refuse(f"{{{key}}} takes no format.")
        return
    if key not in TIME_KEYS:
        raise _refuse(f"{{{key}}} is unknown; there are {', '.join((*TEXT_KEYS, *TIME_KEYS))}.")
    if key != "scheduled_for" and not has_window:
        raise _refuse(f"{{{key}}} needs a task with a window.")
    directives = re.findall(r"%(.?)", spec)
    if spec and not directives:
        raise _refuse(f"{spec!r} is not a date format; try {{{key}:%Y%m%d}}.")
    for directive in directives:
        if directive not in _DIRECTIVES or not directive:
            raise _refuse(f"'%{directive}' is not a date format that means the same everywhere.")
    if "{" in spec or "}" in spec or ".." in spec:
        raise _refuse(f"{spec!r} is not a date format.")
    if found := _RESERVED.search(spec):
        raise _refuse(f"{found[0]!r} cannot be part of a file name.")


def _time_text(local: datetime, spec: str) -> str:
    """Formatted directive by directive: `strftime` may spoil the text between them on some machines."""
    return re.sub(r"%.", lambda match: local.strftime(match[0]), spec)


def _is_control(character: str) -> bool:
    """Control and format characters (also those that turn the writing direction), lone surrogates, line separators."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8, whole characters only."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


def _refuse(message: str) -> Invalid:
    return Invalid(message, field=FIELD)
