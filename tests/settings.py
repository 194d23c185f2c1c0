"""Settings of the test run: a data folder of its own, plain static files, a fast hasher.

REFRACT_TEST_STACK=full runs it on Postgres and Redis instead of SQLite and memory.
"""

import os
from pathlib import Path

from tests import servers

for name in filter(servers.is_setting, list(os.environ)):
    del os.environ[name]
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

os.environ["REFRACT_DATA"] = os.environ.get("REFRACT_TEST_DATA") or str(
    Path(__file__).parents[1] / "var" / "test"
)
if os.environ.get("REFRACT_TEST_STACK") == "full":
    servers.postgres().count_nothing()
    os.environ["DATABASE_URL"] = servers.postgres().url("postgres")
    os.environ["REDIS_URL"] = servers.redis().url()

from config.settings import *  # noqa: E402, F403
from config.settings import DATA_DIR, DATABASES, EMBEDDED, LOGGING, STORAGES  # noqa: E402

if EMBEDDED:
    # A file: threads share it as they do in a server. One per process, so that runs don't meet.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / f"test-{os.getpid()}.sqlite3"}

PRIVATE_ADDRESSES = True  # the models of most tests are on this machine
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}

# litellm keeps an HTTP session per event loop, and here every call of async_to_sync has its own.
LOGGING = {
    **LOGGING,
    "filters": {
        "no_sessions": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: not record.getMessage().startswith("Unclosed "),
        }
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["no_sessions"],
        }
    },
}
