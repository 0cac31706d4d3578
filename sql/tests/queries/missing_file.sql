-- stage 1
-- A path that does not exist fails.

CREATE TABLE t (a INT) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/no_such_file.csv',
  'format' = 'csv'
);

SELECT * FROM t;
