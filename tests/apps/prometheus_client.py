"""Asks a server's Prometheus API with the library prometheus-api-client.

    prometheus_client.py URL [TOKEN]

Prints one JSON object with what each call answered.
"""

import datetime
import json
import sys

from prometheus_api_client import PrometheusApiClientException, PrometheusConnect

headers = {"Authorization": f"Bearer {sys.argv[2]}"} if len(sys.argv) > 2 else None
client = PrometheusConnect(url=sys.argv[1], headers=headers)
now = datetime.datetime.now()

found = {
    "connected": client.check_prometheus_connection(),
    "metrics": client.all_metrics(),
    "labels": client.get_label_names(),
    "services": client.get_label_values("service"),
    "current": client.get_current_metric_value(
        "traces_spanmetrics_calls_total", label_config={"span_name": "GET /cart"}
    ),
    "instant": client.custom_query(
        "sum by (client, server) (increase(traces_service_graph_request_total[10m]))"
    ),
    "range": client.custom_query_range(
        "sum(increase(traces_spanmetrics_calls_total[10m]))",
        start_time=now - datetime.timedelta(minutes=1),
        end_time=now,
        step="30",
    ),
    "samples": client.get_metric_range_data(
        "traces_spanmetrics_calls_total{span_name='GET /cart'}",
        start_time=now - datetime.timedelta(minutes=1),
        end_time=now + datetime.timedelta(minutes=1),
    ),
}
try:
    found["wrong"] = client.custom_query("sum(rate(up))")
except PrometheusApiClientException as error:
    found["wrong"] = str(error)
print(json.dumps(found))
