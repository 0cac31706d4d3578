-- stage 1
-- Flink refuses this.

CREATE TABLE t (a INT) WITH ('connector' = 'filesytem', 'path' = '/x', 'format' = 'csv');

SELECT * FROM t;
