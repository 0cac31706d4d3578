-- stage 1
CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  product STRING,
  amount DECIMAL(10, 2),
  quantity INT,
  ts STRING,
  country STRING,
  total AS amount * quantity,
  event_time AS TO_TIMESTAMP(ts),
  label AS COALESCE(customer, '?') || ':' || product
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/orders.csv',
  'format' = 'csv',
  'csv.null-literal' = ''
);

SELECT id, total, event_time, label, EXTRACT(HOUR FROM event_time) AS h FROM orders WHERE total > 1000;
