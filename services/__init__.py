"""All behaviour and I/O of Parley; knows nothing of GraphQL or HTTP."""

import sys

# redis-py imports OpenTelemetry's SDK of metrics wherever it is installed, as it is in the image, and nobody here uses
# it: so that a process without traces pays nothing for them, there is none for it.
sys.modules.setdefault("opentelemetry.sdk.metrics", None)  # type: ignore[arg-type]  # how an import is refused
