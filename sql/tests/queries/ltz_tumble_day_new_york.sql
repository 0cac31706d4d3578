-- stage 1
-- Windows of a day are days of the session's zone, of 23 and 25 hours where the clock changes.

SET 'table.local-time-zone' = 'America/New_York';

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

SELECT window_start, window_end, window_time, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' DAY))
GROUP BY window_start, window_end, window_time;
