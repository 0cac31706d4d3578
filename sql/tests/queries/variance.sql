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

SELECT product, STDDEV_POP(quantity) AS a, STDDEV_SAMP(quantity) AS b, VAR_POP(quantity) AS c, VAR_SAMP(quantity) AS d FROM orders GROUP BY product;
