-- stage 1
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

WITH
  german AS (SELECT * FROM orders WHERE country = 'DE'),
  priced (id, unit) AS (SELECT id, amount / quantity FROM german WHERE quantity > 0)
SELECT p.id, p.unit, p.unit * 2 AS twice FROM priced AS p WHERE p.unit > 10;
