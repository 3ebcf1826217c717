# The service in a container. It is built without a network, from wheels that lie beside this file:
#
#     pip wheel --wheel-dir wheelhouse '.[serve]'
#     docker build --tag zeroguide .
#     docker run --publish 8000:8000 --env ZEROGUIDE_TOKEN zeroguide
#
# The wheels have to be of the Python and the platform of this image. docs/serve.md says more.
FROM python:3.11-slim

RUN --mount=type=bind,source=wheelhouse,target=/wheelhouse \
    pip install --no-cache-dir --no-index --find-links /wheelhouse 'zeroguide[serve]'

RUN useradd --uid 10001 --create-home zeroguide
USER zeroguide

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=9)"]

# The preset that comes with the package: no model hub is needed.
CMD ["zeroguide", "serve", "--host", "0.0.0.0", "--preset", "photo", "--offline"]
