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
  UPPER(customer) || '/' || LOWER(country) AS a,
  CONCAT_WS('-', customer, product, country) AS b,
  SUBSTRING(product FROM 2 FOR 2) AS c,
  CHAR_LENGTH(TRIM(product)) AS d,
  REPLACE(product, 'e', 'E') AS e,
  LPAD(CAST(id AS STRING), 5, '0') AS f,
  REVERSE(product) AS g,
  POSITION('e' IN product) AS h,
  REGEXP_REPLACE(customer, '[aeiou]', '*') AS i
FROM orders WHERE id <= 120;
