-- stage 2
-- Sorted, because the order in which changes arrive is not promised.

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

SELECT country, ARRAY_SORT(ARRAY_AGG(total)) AS a
FROM (SELECT country, product, SUM(quantity) AS total FROM orders WHERE id < 40 GROUP BY country, product)
GROUP BY country;
