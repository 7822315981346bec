# The gateway without a database: give it one by DATABASE_URL (see docker-compose.yml), or keep /data for the embedded one.
FROM python:3.12-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY requirements.lock requirements-uv.lock pyproject.toml ./
COPY scripts/runtime_lock.py scripts/
RUN python -m venv /venv \
    && python scripts/runtime_lock.py requirements.lock > runtime.lock \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r runtime.lock

FROM python:3.12-slim

RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid gateway --no-create-home --home-dir /data --shell /usr/sbin/nologin gateway \
    && install -d -o gateway -g gateway -m 0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY gateway gateway
COPY migrations migrations
RUN python -m compileall -q gateway migrations  # a worker that is respawned need not compile 250 files

ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_HOME=/data \
    GATEWAY_SERVER__HOST=0.0.0.0
USER gateway
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('GATEWAY_SERVER__PORT', '8080') + '/health/live', timeout=2)"]
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve"]
