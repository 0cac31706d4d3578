-- stage 3
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

SELECT a.id, b.id AS id2, a.customer FROM (SELECT * FROM orders WHERE id < 40) AS a JOIN (SELECT * FROM orders WHERE id BETWEEN 40 AND 60) AS b ON a.customer = b.customer AND a.country IS NOT DISTINCT FROM b.country;
