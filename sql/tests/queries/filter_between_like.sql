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

SELECT id, product, amount FROM orders
WHERE amount BETWEEN 50.5 AND 500 AND (product LIKE '_ea%' OR product LIKE '%🍕' OR product = 'tea ');
