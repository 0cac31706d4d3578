-- stage 1
-- Windows align downwards below zero too.

CREATE TABLE early (
  ts TIMESTAMP(3),
  v INT,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/old.csv',
  'format' = 'csv'
);

SELECT window_start, window_end, COUNT(*) AS n, SUM(v) AS s
FROM TABLE(TUMBLE(TABLE early, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
