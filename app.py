"""The composition root: the HTTP API, and the functions that AWS starts.

The names of handlers are names in AWS: never rename one. A handler imports what it needs when it runs, so that each
function loads its own part only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, SQSEvent

from chalicelib.api import authorizer, blueprint

app = Chalice(app_name="carillon", configure_logs=False)
# All answers are JSON: API Gateway need not decode base64.
app.api.binary_types = []
app.register_blueprint(authorizer.bp)
app.register_blueprint(blueprint.bp)


@app.schedule("rate(1 minute)")
def tick(event: CloudWatchEvent) -> None:
    from chalicelib import clock, log
    from chalicelib.scheduling import tick as planner

    log.correlate(_invocation_id(event.context))
    planner.tick(now=clock.now(), time_left=lambda: _seconds_left(event.context))


@app.schedule("rate(1 minute)")
def sweep(event: CloudWatchEvent) -> None:
    from chalicelib import clock, log
    from chalicelib.maintenance import sweep as repair

    log.correlate(_invocation_id(event.context))
    repair.sweep(now=clock.now(), time_left=lambda: _seconds_left(event.context))


# Chalice passes an intrinsic function into the template, although its types allow only text.
@app.on_sqs_message(queue_arn={"Fn::GetAtt": ["WorkQueue", "Arn"]}, batch_size=1)  # type: ignore[arg-type]
def work(event: SQSEvent) -> dict[str, Any]:
    """Handles one message. After an error SQS delivers it again, and in the end to the dead-letter queue."""
    from chalicelib import clock, log
    from chalicelib.queue.claim import Worker
    from chalicelib.worker import worker

    context: Any = event.context
    log.correlate(_invocation_id(context))
    until = clock.now() + timedelta(seconds=_seconds_left(context))
    me = Worker(context.aws_request_id, until, clock.Clock(), past_minutes=worker.PAST_MINUTES)
    for record in event:
        worker.handle(record.body, worker=me)
    return {"batchItemFailures": []}


@app.lambda_function()
def fire(event: dict[str, Any], context: Any) -> dict[str, str]:
    """The target of the rules of tasks, and of rules made by hand: `{"task": "<id or name>", "parameters": {…}}`."""
    from chalicelib import clock, log
    from chalicelib.tasks import events as fires

    log.correlate(_invocation_id(context))
    job = fires.fire(event, invocation_id=context.aws_request_id, now=clock.now())
    return {} if job is None else {"job_id": job.job_id}


def _invocation_id(context: Any) -> str:
    return str(context.aws_request_id)


def _seconds_left(context: Any) -> float:
    return float(context.get_remaining_time_in_millis()) / 1000
