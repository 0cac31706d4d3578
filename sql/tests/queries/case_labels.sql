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

SELECT id,
  CASE WHEN amount < 0 THEN 'refund' WHEN amount >= 500 THEN 'large' WHEN amount IS NULL THEN 'unknown' ELSE 'small' END AS label,
  CASE country WHEN 'DE' THEN 'Deutschland' WHEN 'JP' THEN '日本' END AS land,
  CASE WHEN quantity > 0 THEN amount / quantity ELSE 0 END AS unit,
  COALESCE(customer, country, 'nobody') AS who,
  NULLIF(product, 'tea') AS no_tea,
  IF(quantity > 10, quantity, CAST(NULL AS INT)) AS many
FROM orders;
