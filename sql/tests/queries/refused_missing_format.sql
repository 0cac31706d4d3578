-- stage 1
-- Flink refuses this.

CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = '${data}/empty.csv');

SELECT * FROM t;
