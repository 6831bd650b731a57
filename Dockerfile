# One image for every service: `docker run davylamp davylamp run judge`. Two stages, so that the compiler which tdigest's
# dependency needs does not ship; whoever runs it is not root. Checked by a test, never built where it is tested.
FROM python:3.13-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir "uv>=0.8"
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY sdk ./sdk
COPY schemas ./schemas
COPY transport ./transport
COPY streams ./streams
COPY judge ./judge
COPY router ./router
COPY alerts ./alerts
COPY status ./status
COPY cli ./cli
COPY demo ./demo
ENV UV_PROJECT_ENVIRONMENT=/opt/davylamp UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
# `demo` brings the MCP SDK for the example servers; a Kafka and an Envoy are containers of their own here.
RUN uv sync --frozen --no-default-groups --no-editable --no-cache \
 && uv pip install --no-cache --python /opt/davylamp/bin/python "mcp>=2.3,<3"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/davylamp davylamp
COPY --from=build /opt/davylamp /opt/davylamp
ENV PATH=/opt/davylamp/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
# `.davylamp` below it is the data folder: of the router it is worth a volume, which keeps a direct rollback over a restart.
WORKDIR /var/lib/davylamp
CMD ["davylamp", "--help"]
