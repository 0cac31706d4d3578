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

SELECT country, product, GROUPING_ID(country, product) AS g, COUNT(*) AS n FROM orders WHERE id < 50 GROUP BY CUBE (country, product);
