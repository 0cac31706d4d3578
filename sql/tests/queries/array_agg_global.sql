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

SELECT ARRAY_AGG(quantity) AS a, ARRAY_AGG(product) FILTER (WHERE id < 0) AS nothing, CARDINALITY(ARRAY_AGG(id)) AS n FROM orders WHERE id < 20;
