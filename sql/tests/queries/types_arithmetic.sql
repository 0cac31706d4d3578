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

SELECT id, t + s AS ts_, t * t AS tt, i + 1 AS i1, l * 2 AS l2, f + d AS fd, f * 2 AS f2, d / 3 AS d3, amount + l AS al, i / t AS it, amount * f AS af
FROM types WHERE t <> 0 OR t IS NULL;
