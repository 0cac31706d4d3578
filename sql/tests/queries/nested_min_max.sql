-- stage 2
-- MIN and MAX over values that are taken back.

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

SELECT MIN(s) AS lo, MAX(s) AS hi, SUM(s) AS total, COUNT(DISTINCT s) AS d FROM (SELECT customer, SUM(quantity) AS s FROM orders GROUP BY customer);
