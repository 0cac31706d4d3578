-- stage 3
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

SELECT window_start, window_end, window_time, COUNT(*) AS n, SUM(amount) AS s
FROM TABLE(SESSION(TABLE orders, DESCRIPTOR(ts), INTERVAL '25' SECOND))
GROUP BY window_start, window_end, window_time;
