-- stage 2
-- Updates of two aggregates over one table.

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

SELECT 'c' AS k, customer AS v, COUNT(*) AS n FROM orders WHERE id < 80 GROUP BY customer UNION ALL SELECT 'p', product, SUM(quantity) FROM orders WHERE id < 80 GROUP BY product;
