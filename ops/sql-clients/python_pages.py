"""Reads a result with py-flink-sql-gateway."""

from flink_gateway.models import ExecuteStatementRequest


def first_column(client, session, statement):
    """Yields the values of the first column as the pages come. Closes the operation at the end."""
    operation = client.execute_statement(session, ExecuteStatementRequest(statement=statement))
    token = "0"
    while True:
        page = client.fetch_results(session, operation, token, row_format="json")
        yield from (row.fields[0] for row in page.results.data)
        if not page.next_result_uri:
            break
        token = page.next_result_uri.split("/result/")[1].split("?")[0]
    client.close_operation(session, operation)
