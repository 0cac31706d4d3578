-- stage 2
-- The outer aggregate takes updates of the inner one.

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

SELECT n, COUNT(*) AS customers FROM (SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer) GROUP BY n;
