-- stage 3
-- Top-N over an aggregate: rows leave and move.

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

SELECT customer, q, rn FROM (SELECT customer, q, ROW_NUMBER() OVER (ORDER BY q DESC, customer) AS rn FROM (SELECT customer, SUM(quantity) AS q FROM orders WHERE customer IS NOT NULL GROUP BY customer)) WHERE rn <= 3;
