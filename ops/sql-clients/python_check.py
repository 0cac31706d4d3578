"""The Python client py-flink-sql-gateway against a SQL gateway: python_check.py http://HOST:PORT"""

import sys

from flink_gateway.client import FlinkSqlGatewayClient
from flink_gateway.models import ConfigureSessionRequest, OpenSessionRequest
from python_pages import first_column

with FlinkSqlGatewayClient(sys.argv[1]) as client:
    assert "V3" in client.get_api_versions()
    session = client.open_session(OpenSessionRequest(properties={"parallelism.default": "2"}))
    assert client.get_session_config(session)["parallelism.default"] == "2"
    client.configure_session(session, ConfigureSessionRequest(statement="CREATE TEMPORARY VIEW python_check AS SELECT 1 AS a"))
    assert "python_check" in first_column(client, session, "SHOW TABLES")
    client.heartbeat(session)
    client.close_session(session)
print("py-flink-sql-gateway: OK")
