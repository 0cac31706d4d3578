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

SELECT country, COLLECT(total) AS c
FROM (SELECT country, product, SUM(quantity) AS total FROM orders WHERE id < 40 GROUP BY country, product)
GROUP BY country;
