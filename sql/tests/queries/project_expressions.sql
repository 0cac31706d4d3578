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

SELECT
  id,
  amount * quantity,
  amount / quantity AS unit,
  amount + quantity AS `sum of both`,
  -amount,
  quantity / 3,
  MOD(quantity, 3) AS m,
  CAST(amount AS INT) AS whole,
  ABS(amount) > 500 AS big
FROM orders WHERE quantity <> 0 OR quantity IS NULL;
