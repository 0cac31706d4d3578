"""Pages through a result with py-flink-sql-gateway: python_paging.py http://HOST:PORT"""

import sys

from flink_gateway.client import FlinkSqlGatewayClient
from flink_gateway.models import ConfigureSessionRequest, OpenSessionRequest
from python_pages import first_column

NUMBERS = """CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '6000')"""

with FlinkSqlGatewayClient(sys.argv[1]) as client:
    session = client.open_session(OpenSessionRequest())
    client.configure_session(session, ConfigureSessionRequest(statement=NUMBERS))
    for number in first_column(client, session, "SELECT n FROM numbers"):
        print(number)
    client.close_session(session)
