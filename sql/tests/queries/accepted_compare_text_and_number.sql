-- stage 1
-- Equality of text and number is refused; an order comparison converts the text.

CREATE TABLE types (
  id INT,
  b BOOLEAN,
  t TINYINT,
  s SMALLINT,
  i INT,
  l BIGINT,
  f FLOAT,
  d DOUBLE,
  amount DECIMAL(10, 2),
  str STRING,
  dt DATE,
  tm TIME(0),
  ts TIMESTAMP(3),
  ltz TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/types.csv',
  'format' = 'csv',
  'csv.null-literal' = ''
);

SELECT id, CAST(amount AS STRING) AS a FROM types WHERE CAST(amount AS STRING) < 100;
