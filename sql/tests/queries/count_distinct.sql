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

SELECT country, COUNT(DISTINCT customer) AS c, COUNT(DISTINCT product) AS p, SUM(DISTINCT quantity) AS s, COUNT(*) AS n FROM orders GROUP BY country;
