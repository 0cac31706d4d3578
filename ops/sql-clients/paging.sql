CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '6000');
SET 'sql-client.execution.result-mode' = 'tableau';
SELECT n FROM numbers;
