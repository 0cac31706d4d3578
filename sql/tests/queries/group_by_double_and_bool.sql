-- stage 2
CREATE TABLE sensors (
  id INT,
  room STRING,
  temp DOUBLE,
  ok BOOLEAN,
  `count` BIGINT,
  price DECIMAL(8, 3),
  ts TIMESTAMP(3),
  pos ROW<x INT, y STRING>,
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/sensors.json',
  'format' = 'json'
);

SELECT ok, ROUND(temp / 10) AS t, COUNT(*) AS n, MIN(price) AS p FROM sensors GROUP BY ok, ROUND(temp / 10);
