-- stage 2
-- A filter over updates lets a -U or +U pass alone.

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

SELECT customer, n FROM (SELECT customer, COUNT(*) AS n FROM orders WHERE id < 60 GROUP BY customer) WHERE n BETWEEN 3 AND 8;
