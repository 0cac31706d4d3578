-- stage 1
SET 'table.local-time-zone' = 'Europe/Berlin';

CREATE TABLE clicks (
  ms BIGINT,
  `user` STRING,
  page STRING,
  took INT,
  ts AS TO_TIMESTAMP_LTZ(ms, 3),
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/clicks.csv',
  'format' = 'csv'
);

SELECT ms, ts, DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm') AS minute_, CAST(ts AS TIMESTAMP(3)) AS plain, CAST(ts AS DATE) AS day_, EXTRACT(HOUR FROM ts) AS h FROM clicks;
