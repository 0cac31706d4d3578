-- stage 3
-- NULL is the smallest.

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

SELECT product, id, quantity, rn FROM (SELECT product, id, quantity, ROW_NUMBER() OVER (PARTITION BY product ORDER BY quantity, id) AS rn FROM orders) WHERE rn <= 2;
