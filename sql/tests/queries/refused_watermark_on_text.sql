-- stage 1
-- Flink refuses this.

CREATE TABLE t (a INT, ts STRING, WATERMARK FOR ts AS ts) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/empty.csv',
  'format' = 'csv'
);

SELECT * FROM t;
