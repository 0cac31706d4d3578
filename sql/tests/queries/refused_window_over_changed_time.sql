-- stage 1
-- An expression over the event time is no event time.

CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  product STRING,
  amount DECIMAL(10, 2),
  quantity INT,
  ts TIMESTAMP(3),
  country STRING,
  WATERMARK FOR ts AS ts - INTERVAL '30' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/orders.csv',
  'format' = 'csv',
  'csv.null-literal' = ''
);

CREATE VIEW moved AS SELECT id, ts + INTERVAL '1' HOUR AS ts FROM orders;
SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE moved, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
