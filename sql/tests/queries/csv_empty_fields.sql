-- stage 1
-- Without a null literal an empty field is an empty text.

CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  product STRING,
  amount STRING,
  quantity STRING,
  ts TIMESTAMP(3),
  country STRING
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/orders.csv',
  'format' = 'csv'
);

SELECT id, customer, amount, quantity, country, customer = '' AS no_customer, amount IS NULL AS no_amount FROM orders;
