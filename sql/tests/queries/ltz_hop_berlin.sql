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

SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '3' HOUR))
GROUP BY window_start, window_end;
