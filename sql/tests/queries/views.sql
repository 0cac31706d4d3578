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

CREATE VIEW german AS SELECT id, customer, amount FROM orders WHERE country = 'DE';
CREATE TEMPORARY VIEW big_ (order_id, who, money) AS SELECT id, customer, amount * 2 FROM german WHERE amount > 200;
SELECT who, order_id, money + 1 AS m FROM big_ WHERE who IS NOT NULL;
