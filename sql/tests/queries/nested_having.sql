-- stage 2
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

SELECT big, COUNT(*) AS n, MAX(s) AS m FROM (SELECT customer, SUM(quantity) AS s, SUM(quantity) > 200 AS big FROM orders GROUP BY customer) GROUP BY big HAVING COUNT(*) > 1;
