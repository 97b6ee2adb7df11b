# The program as its own user; it writes to /data alone, so the root may be read-only.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/deai && /opt/deai/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY indexer indexer
COPY onchain onchain
RUN /opt/deai/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home deai && install -d -o deai /data
COPY --from=build /opt/deai /opt/deai
ENV PATH=/opt/deai/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DEAI_DATA_DIR=/data DEAI_HOST=0.0.0.0
USER deai
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD \
  ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["deai"]
CMD ["up"]
