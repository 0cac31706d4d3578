-- stage 2
-- A filter and a projection over updates.

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

SELECT UPPER(customer) AS c, s * 2 AS s2 FROM (SELECT customer, SUM(quantity) AS s FROM orders GROUP BY customer) WHERE MOD(s, 2) = 0;
