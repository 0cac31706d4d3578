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

SELECT country, COLLECT(product) AS c, COLLECT(DISTINCT product) AS d, COLLECT(quantity) FILTER (WHERE quantity > 2) AS q
FROM orders WHERE id < 60 GROUP BY country;
