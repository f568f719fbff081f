# The gateway on a slim Debian, as a user without rights, with every dependency pinned by hash.
#
#   docker build -t xingsha-gateway .
#   docker run --read-only -v ./my.yaml:/etc/xingsha/gateway.yaml:ro -v journal:/var/lib/xingsha xingsha-gateway

FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/xingsha
COPY requirements.lock ./
RUN /opt/xingsha/bin/python -m pip install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY adapters adapters
RUN /opt/xingsha/bin/python -m pip install --no-deps --no-build-isolation --no-index . \
 && /opt/xingsha/bin/python -m pip uninstall --yes --quiet pip setuptools \
 && /opt/xingsha/bin/xingsha --version

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/xingsha --shell /usr/sbin/nologin xingsha \
 && install -d -o xingsha -g xingsha -m 0750 /var/lib/xingsha /etc/xingsha
COPY --from=build /opt/xingsha /opt/xingsha
COPY configs /usr/share/xingsha/configs
ENV PATH=/opt/xingsha/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER xingsha
WORKDIR /var/lib/xingsha
VOLUME /var/lib/xingsha
EXPOSE 9180
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9180/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["xingsha"]
CMD ["run", "/etc/xingsha/gateway.yaml"]
