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

SELECT country, ARRAY_AGG(quantity) AS q, ARRAY_AGG(DISTINCT product) AS d, ARRAY_AGG(customer) FILTER (WHERE quantity > 2) AS f,
  ARRAY_AGG(amount) IGNORE NULLS AS i, COUNT(*) AS n
FROM orders WHERE id < 60 GROUP BY country;
