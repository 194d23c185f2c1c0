"""Celery in the full stack: a worker that does the chores, and beat, which says when.

Participants' turns never come here: fanned out over Celery they were ten times slower.
"""

import gc
import os

import django
from celery import Celery, signals
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()  # before anything that imports models; and workers share what is loaded by now

from config import chores  # noqa: E402

app = Celery("refract")
app.conf.update(
    broker_url=settings.REDIS_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # Redis may be away for as long as it likes
    # A task of a dead worker is given to another after this long; Celery's default is an hour.
    broker_transport_options={"visibility_timeout": 90, "socket_connect_timeout": 5},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # Shorter than the above, or a long chore would be given out again while it runs.
    task_soft_time_limit=60,
    task_time_limit=80,
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    # Two, so that a long chore does not stop the heartbeat.
    worker_concurrency=2,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    enable_utc=True,
    timezone="UTC",
    # Nothing is lost with it: all chores are due again soon.
    beat_scheduler="celery.beat:Scheduler",
    beat_schedule={
        chore.name: {
            "task": "chore",
            "schedule": chore.every_s,
            "args": [chore.name],
            # What nobody did in time is not done twice later.
            "options": {"expires": chore.every_s},
        }
        for chore in chores.CHORES
    },
)


@app.task(name="chore")  # type: ignore[untyped-decorator]
def do_chore(name: str) -> None:
    chores.do(name)


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def share_memory(**_kwargs: object) -> None:
    """Or the first garbage collection in each process would copy all that it has inherited."""
    gc.collect()
    gc.freeze()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def keep_our_logging(**_kwargs: object) -> None:
    """With a receiver here Celery leaves logging as the settings have it."""


@signals.beat_init.connect  # type: ignore[untyped-decorator]
def do_all_now(**_kwargs: object) -> None:
    """Beat itself would wait for each chore's time to pass once."""
    for chore in chores.CHORES:
        do_chore.apply_async([chore.name], expires=chore.every_s)
