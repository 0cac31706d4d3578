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
  'csv.ignore-parse-errors' = 'true'
);

SELECT id, customer, amount, quantity, ts, country FROM orders;
