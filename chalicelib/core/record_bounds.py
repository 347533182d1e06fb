"""The most that each thing written to a record may come to. Writers cut to these; `store/record_sizes.py` adds them up.

Bytes are those of the table: UTF-8 for a text, ASCII JSON for a document. Where a column has its limit in characters,
from the API's models or a kind, four bytes are counted for each.
"""

from __future__ import annotations

# Left free in every record for columns of later versions.
RESERVE_BYTES = 8_192

# --- columns of several tables ---
ID_BYTES = 64
INSTANT_BYTES = 24
# A status, a trigger, a role.
WORD_BYTES = 32
REASON_BYTES = 64
# Who acts: `token:` and a token's name, or a name from a JWT.
ACTOR_CHARACTERS = 255
ACTOR_BYTES = 4 * ACTOR_CHARACTERS
# Why a job or a run ended, and what a run did, for people: 4,000 characters, and a sentence around them.
ERROR_BYTES = 16_896
SUMMARY_BYTES = 16_896
# The note of a task: 4,000 characters, or the word of EventBridge.
NOTE_BYTES = 16_384
# What a run or a job cost: numbers alone.
COST_BYTES = 1_024

# --- a task ---
# Each slot planned ahead: three instants in seconds, as JSON. `scheduling/ahead.py` keeps at most so many.
AHEAD_MOST = 180
AHEAD_BYTES = AHEAD_MOST * 40 + 2

# --- a job ---
# Manifests up to this size stand in the records of the run and of its job. Longer ones stay in the bucket.
MANIFESTS_BYTES = 4_096
# What filters compare: ten columns of the job, as `name=value`.
FACETS_BYTES = 4_096
# The key of a queue: a pool and a minute, or a limit.
QUEUE_KEY_BYTES = 128
# A worker's name: Lambda's request id, a robot's id.
WORKER_BYTES = 128
# The limits in which a run has a permit: the task's and the source's.
HOLDS_BYTES = 256
# Marks of requests and batches that acted on a job; of more the oldest are forgotten, long after they may repeat.
MARKS_MOST = 100
MARK_BYTES = 64

# --- a run ---
# What a run executes, as its kind says it.
DEFINITION_BYTES = 200_000

# --- the rest ---
# What an audit entry tells of a change; a hundred entries fit an answer of Lambda, 6 MB.
CHANGES_BYTES = 48_000
# What a repeat of a request is answered.
ANSWER_BYTES = 300_000
ANSWER_HEADERS_BYTES = 4_096
# Why a batch refused one of the hundred jobs of a part; as JSON up to six times as much.
OUTCOME_MESSAGE_BYTES = 500
# The lines of a chunk of a log before they are compressed, with room for one more line of the longest.
CHUNK_BYTES = 300 * 1024
# Tasks and sources that have, or had, a limit: one item names them all, and each claim reads it.
REGISTERED_MOST = 5_000
# Runs that hold a permit of one limit.
HOLDERS_MOST = 5_000
# A permit: a job's id and its fence.
PERMIT_BYTES = 64
