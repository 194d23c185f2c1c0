"""All of Refract's settings, and the only module that reads the environment.

Nothing needs to be set: by default Refract runs embedded (SQLite, in-memory channels).
DATABASE_URL and REDIS_URL turn the same code into the full stack.
"""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.management.utils import get_random_secret_key
from django.urls import reverse_lazy

from config.api import FRAMEWORK, SPECTACULAR
from config.desk import UNFOLD as UNFOLD
from config.mail import mail_settings

BASE_DIR = Path(__file__).resolve().parents[2]


def env(name: str, default: str = "") -> str:
    """A setting from the environment, or from the file that NAME_FILE points to."""
    file = os.environ.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else os.environ.get(name, default)


def env_list(name: str, default: str) -> list[str]:
    return [part.strip() for part in env(name, default).split(",") if part.strip()]


DATA_DIR = Path(env("REFRACT_DATA", str(BASE_DIR / "var"))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)


RELEASES_DIR = DATA_DIR / "releases"
"""Archives of releases. Processes on several machines have to share it."""


def kept_secret_key() -> str:
    """The key of this data folder, made once, so that cookies and links survive a restart."""
    file = DATA_DIR / "secret_key"
    try:
        with file.open("x") as new:
            file.chmod(0o600)
            new.write(get_random_secret_key())
    except FileExistsError:
        pass
    return file.read_text()


DATABASE_URL = env("DATABASE_URL")
REDIS_URL = env("REDIS_URL")
EMBEDDED = not DATABASE_URL
"""One process on SQLite: whatever was running when it stopped is nobody else's."""
FULL_STACK = bool(DATABASE_URL and REDIS_URL)
"""Any number of processes; chores are a Celery worker's, who is told by beat."""

DEBUG = env("REFRACT_DEBUG") == "1"
SECRET_KEY = env("REFRACT_SECRET_KEY") or kept_secret_key()
ALLOWED_HOSTS = env_list("REFRACT_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("REFRACT_ORIGINS", "")
HTTPS = bool(CSRF_TRUSTED_ORIGINS) and all(o.startswith("https") for o in CSRF_TRUSTED_ORIGINS)

MODEL_KEYS = {
    name.removeprefix("REFRACT_KEY_"): key
    for name, key in os.environ.items()
    if name.startswith("REFRACT_KEY_")
}
"""API keys by name. An endpoint stores the name; the key is never in the database."""

PRIVATE_ADDRESSES = env("REFRACT_PRIVATE_ADDRESSES", "1" if EMBEDDED else "") == "1"
"""Whether endpoints may be servers of this machine or its network."""

MODEL_HOSTS = env_list("REFRACT_MODEL_HOSTS", "")
"""Hosts that endpoints may name in their base URL; .example.org means all below it; empty: any."""

SCRIPT_HOSTS = env_list("REFRACT_SCRIPT_HOSTS", "")
"""Hosts whose scripts a recruitment may put on people's pages; empty: none."""

DETECTORS = env_list(
    "REFRACT_DETECTORS",
    "collection.detectors.contacts.Contacts,collection.detectors.languages.Languages",
)
"""Classes that look at every text before an export: see docs/metadata.md."""

DEMO_LATENCY_SCALE = float(env("REFRACT_DEMO_LATENCY", "1"))
"""How long the demo models take, as a share of their own pace; 0 answers at once."""

# litellm reads this while it is imported; without it a start behind a firewall can hang.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
# … and outside production it reads a .env, whose OPENAI_BASE_URL would redirect endpoints.
os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
# … and it calls OpenAI-compatible servers as it calls all others, without OpenAI's client: a tenth
# of the processor time of a turn.
os.environ.setdefault("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "True")

PROLIFIC_URL = env("REFRACT_PROLIFIC_URL", "https://api.prolific.com/api/v1")
PROLIFIC_SITE = env("REFRACT_PROLIFIC_SITE", "https://app.prolific.com").rstrip("/")
"""Where its participants enter completion codes."""
PROLIFIC_TOKEN = env("REFRACT_PROLIFIC_TOKEN")
"""Of a researcher's account there; without it nothing is sent, and everything waits."""
PROLIFIC_WEBHOOK_SECRET = env("REFRACT_PROLIFIC_WEBHOOK_SECRET")
"""Signs Prolific's webhooks; without it none is believed."""
PUBLIC_URL = env("REFRACT_URL").rstrip("/") or next(iter(CSRF_TRUSTED_ORIGINS), "")
"""Where participants find this Refract, for links in what is sent elsewhere."""

HUB_URL = env("REFRACT_HUB_URL", "https://huggingface.co")
HUB_TOKEN = env("REFRACT_HUB_TOKEN")
"""Of an account at the Hugging Face hub that may write; without it nothing is pushed there."""

METRICS_TOKEN = env("REFRACT_METRICS_TOKEN")
"""Whoever sends it as a bearer token may read /metrics; without it signed-in staff alone may."""
METRICS_DIR = DATA_DIR / "metrics"
if FULL_STACK:
    # prometheus_client reads this while it is imported: the processes of a machine share files.
    METRICS_DIR.mkdir(exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS_DIR)

globals().update(mail_settings(env("REFRACT_EMAIL_URL")))
DEFAULT_FROM_EMAIL = env("REFRACT_EMAIL_FROM", "refract@localhost")
ALERT_EMAILS = env_list("REFRACT_ALERT_EMAILS", "")
ALERT_WEBHOOK = env("REFRACT_ALERT_WEBHOOK")
"""Where alerts are posted as JSON."""

INSTALLED_APPS = [
    "unfold",
    # Without the desk's pages, which config.urls finds: a command waits a second less for them.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "servestatic",
    "channels",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "surveys",
    "collection",
]

# Static files never come this far: see config.serving.
MIDDLEWARE = [
    "config.requests.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "surveys.two_factor.GateMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.languages.LanguageMiddleware",
    "config.errors.DomainErrorMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.journey.progress",
            ],
        },
    },
]

REQUEST_THREADS = 2
"""Of a web process for participants' pages, and as many for all others; each keeps a database
connection. More would only quarrel for the interpreter."""

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": DATA_DIR / "refract.sqlite3",
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        # Take the write lock when a transaction begins: a later upgrade fails at once instead
        # of waiting, and two requests would answer "database is locked".
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    },
}
POSTGRES_PREPARES = env("REFRACT_POSTGRES_PREPARES", "1") == "1"
"""Whether connections keep plans of what they ask again and again: to plan was two thirds of what
a page takes Postgres. A pooler between, that lends connections by transaction, forbids it."""


def postgres(url: str) -> dict[str, Any]:
    """Postgres, with a connection that each thread keeps: at most five of a web process."""
    database: dict[str, Any] = {
        **dj_database_url.parse(url, conn_max_age=None, conn_health_checks=True)
    }
    # A server that is gone without a word would else be waited for by whoever asks it next.
    options: dict[str, Any] = {"keepalives_idle": 60, "tcp_user_timeout": 20_000}
    if POSTGRES_PREPARES:
        options |= {"server_side_binding": True, "prepare_threshold": 3}
    return database | {"OPTIONS": options | database.get("OPTIONS", {})}


DATABASES = {"default": postgres(DATABASE_URL) if DATABASE_URL else SQLITE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = {
    "default": {
        # Not its queues: what settles concerns who waits now, and a message would take ten commands
        # where this takes one. What is lost with a connection, pages ask for by themselves.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [
                {
                    "address": REDIS_URL,
                    # It only listens: asks now and then whether somebody is still there.
                    "health_check_interval": 15,
                    # With redis-py's own, 5 s, each write is a task, and who is cancelled meanwhile
                    # may never hear of it.
                    "socket_timeout": None,
                }
            ]
        },
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

# Never cache.clear() on Redis: it empties the database, with the sockets' groups and the chores.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "refract",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)  # empty until collectstatic
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "servestatic.storage.CompressedManifestStaticFilesStorage"
    },
}

LANGUAGE_CODE = "en"
# What participants' pages speak; the desk is English. Each has a catalogue in LOCALE_PATHS.
LANGUAGES = [
    ("en", "English"),
    ("es", "Español"),
    ("fr", "Français"),
    ("de", "Deutsch"),
    ("pt", "Português"),
    ("ar", "العربية"),
    ("zh-hans", "简体中文"),
]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
LOCALE_PATHS = [BASE_DIR / "templates" / "locale"]

# DRF and drf-spectacular are libraries here, no apps: their pages and files aren't served.
REST_FRAMEWORK, SPECTACULAR_SETTINGS = FRAMEWORK, SPECTACULAR

LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
REQUIRE_2FA = env("REFRACT_REQUIRE_2FA") == "1"
"""Whether everybody at the desk needs a second proof beside the password. Off unless it is asked
for, so that a first look needs no phone; recommended wherever real people take part."""
OTP_TOTP_ISSUER = "Refract"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
# A prompt may have 4,000 characters and a survey page a few long texts; nothing is uploaded.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000

LOG_JSON = env("REFRACT_LOG", "json" if FULL_STACK else "lines") == "json"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "config.logs.Json" if LOG_JSON else "config.logs.Readable"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "refract": {"level": "INFO"},
        # A line for each request, call and turn: for machines.
        "refract.figures": {"level": "INFO" if LOG_JSON else "WARNING"},
        # The server's own handlers would write as they like; its access log has people's addresses.
        "uvicorn": {"handlers": [], "level": "WARNING", "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": False},
    },
}
