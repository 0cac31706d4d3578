-- stage 1
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

SELECT * FROM types;
