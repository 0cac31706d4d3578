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

SELECT product, COUNT(*) FILTER (WHERE amount > 500) AS big, SUM(quantity) FILTER (WHERE country = 'DE') AS de, COUNT(DISTINCT customer) FILTER (WHERE quantity > 5) AS cu FROM orders GROUP BY product;
