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

SELECT t.*, t.a + 1 AS b FROM (
  SELECT id, quantity * 2 AS a FROM (SELECT * FROM orders WHERE quantity IS NOT NULL) WHERE id > 50
) AS t WHERE t.a > 20;
