-- stage 2
-- Over no rows nothing is emitted.

CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  product STRING,
  amount DECIMAL(10, 2),
  quantity INT,
  ts TIMESTAMP(3),
  country STRING
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/orders.csv',
  'format' = 'csv',
  'csv.null-literal' = ''
);

SELECT COUNT(*) AS n, SUM(amount) AS s FROM orders WHERE id < 0;
