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

SELECT id,
  amount * 1.19 AS gross,
  CAST(amount * 1.19 AS DECIMAL(10, 2)) AS rounded,
  ROUND(amount * 1.19, 1) AS r1,
  FLOOR(amount) AS f,
  amount * amount * amount AS cubed,
  amount / 7 AS seventh,
  amount * 1e0 AS d,
  CAST(amount AS DOUBLE) / 3 AS third
FROM orders WHERE amount IS NOT NULL AND id < 150;
