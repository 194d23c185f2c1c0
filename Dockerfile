# Refract, for the full stack: web servers, the worker and beat all run from this image.
# Build it with: docker build --tag refract .

FROM python:3.11-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/refract
COPY requirements.txt .
RUN /opt/refract/bin/pip install --requirement requirements.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home refract \
    && install --directory --owner refract /data /data/releases
COPY --from=packages /opt/refract /opt/refract
WORKDIR /app
COPY manage.py pyproject.toml ./
COPY platform platform
COPY surveys surveys
COPY collection collection
COPY templates templates
COPY static static
# Of REFRACT_DATA only the releases must last; static files and counts for Prometheus need not.
ENV PATH=/opt/refract/bin:$PATH \
    PYTHONPATH=/app:/app/platform \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    REFRACT_DATA=/data
RUN python -m compileall -q platform surveys collection
USER refract
# The key is for this one command; the running one is given its own, and must be: all processes
# need the same.
RUN REFRACT_SECRET_KEY=none python manage.py collectstatic --noinput --verbosity 0
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "config.web", "--host", "0.0.0.0", "--port", "8000", "--processes", "2"]
