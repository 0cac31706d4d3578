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

SELECT FLOOR(ts TO HOUR) AS h, COALESCE(country, '-') AS c, SUM(quantity) AS q FROM orders GROUP BY FLOOR(ts TO HOUR), COALESCE(country, '-');
