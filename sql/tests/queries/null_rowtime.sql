-- stage 1
-- A row without event time fails the job, even when a view filters it out.

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
  ltz TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/types.csv',
  'format' = 'csv',
  'csv.null-literal' = ''
);

CREATE VIEW filled AS SELECT * FROM types WHERE ts IS NOT NULL;
SELECT window_start, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE filled, DESCRIPTOR(ts), INTERVAL '1' DAY))
GROUP BY window_start, window_end;
