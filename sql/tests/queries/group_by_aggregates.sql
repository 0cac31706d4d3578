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

SELECT customer, COUNT(*) AS n, COUNT(quantity) AS c, SUM(quantity) AS s, SUM(amount) AS a, MIN(amount) AS lo, MAX(amount) AS hi, AVG(quantity) AS av, AVG(amount) AS aa FROM orders GROUP BY customer;
