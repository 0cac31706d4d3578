-- stage 1
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

SELECT window_start, COUNT(*) AS n, SUM(id) AS i, AVG(id) AS ai, SUM(CAST(id AS TINYINT)) AS t, SUM(price) AS p, AVG(price) AS ap, MAX(ts) AS last_, MIN(ok) AS allok, MAX(room) AS room, SUM(CAST(temp AS DECIMAL(8, 1))) AS te
FROM TABLE(TUMBLE(TABLE sensors, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
