-- stage 1
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

CREATE VIEW paid AS SELECT ts AS paid_at, customer, amount * quantity AS total FROM orders WHERE amount > 0 AND quantity > 0;
SELECT window_start, window_end, customer, SUM(total) AS s
FROM TABLE(TUMBLE(TABLE paid, DESCRIPTOR(paid_at), INTERVAL '1' HOUR))
WHERE customer <> 'bob'
GROUP BY window_start, window_end, customer;
