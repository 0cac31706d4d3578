-- stage 2
-- SUM over nulls only is NULL, COUNT is 0.

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

SELECT id, SUM(quantity) AS s, COUNT(quantity) AS c, AVG(amount) AS a, MIN(country) AS m FROM orders WHERE id < 60 GROUP BY id;
