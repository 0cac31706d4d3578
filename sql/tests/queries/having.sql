-- stage 2
-- A group enters and leaves the result: lone +U and -U rows.

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

SELECT customer, SUM(quantity) AS q FROM orders GROUP BY customer HAVING SUM(quantity) > 100 AND SUM(quantity) < 400;
