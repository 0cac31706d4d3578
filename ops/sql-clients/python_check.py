"""The Python client py-flink-sql-gateway against a SQL gateway: python_check.py http://HOST:PORT"""

import sys

from flink_gateway.client import FlinkSqlGatewayClient
from flink_gateway.models import ConfigureSessionRequest, ExecuteStatementRequest, OpenSessionRequest

with FlinkSqlGatewayClient(sys.argv[1]) as client:
    assert "V3" in client.get_api_versions()
    session = client.open_session(OpenSessionRequest(properties={"parallelism.default": "2"}))
    assert client.get_session_config(session)["parallelism.default"] == "2"

    def first_column(statement):
        operation = client.execute_statement(session, ExecuteStatementRequest(statement=statement))
        rows, token = [], "0"
        while True:
            page = client.fetch_results(session, operation, token, row_format="json")
            rows += [row.fields[0] for row in page.results.data]
            if not page.next_result_uri:
                break
            token = page.next_result_uri.split("/result/")[1].split("?")[0]
        client.close_operation(session, operation)
        return rows

    client.configure_session(session, ConfigureSessionRequest(statement="CREATE TEMPORARY VIEW python_check AS SELECT 1 AS a"))
    assert "python_check" in first_column("SHOW TABLES")
    client.heartbeat(session)
    client.close_session(session)
print("py-flink-sql-gateway: OK")
