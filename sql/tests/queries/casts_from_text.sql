-- stage 1
CREATE TABLE texts (
  id STRING,
  b STRING,
  t STRING,
  s STRING,
  i STRING,
  l STRING,
  f STRING,
  d STRING,
  amount STRING,
  str STRING,
  dt STRING,
  tm STRING,
  ts STRING,
  ltz STRING
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/types.csv',
  'format' = 'csv'
);

SELECT id,
  TRY_CAST(b AS BOOLEAN) AS b, TRY_CAST(t AS TINYINT) AS t, TRY_CAST(i AS SMALLINT) AS s, TRY_CAST(l AS INT) AS i, TRY_CAST(l AS BIGINT) AS l,
  TRY_CAST(f AS FLOAT) AS f, TRY_CAST(d AS DOUBLE) AS d, TRY_CAST(amount AS DECIMAL(8, 1)) AS amount, TRY_CAST(str AS VARCHAR(2)) AS str,
  TRY_CAST(dt AS DATE) AS dt, TRY_CAST(tm AS TIME) AS tm, TRY_CAST(ts AS TIMESTAMP(3)) AS ts, TRY_CAST(ltz AS TIMESTAMP_LTZ(3)) AS ltz
FROM texts;
