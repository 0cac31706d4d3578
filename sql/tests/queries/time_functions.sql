-- stage 1
CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  product STRING,
  amount DECIMAL(10, 2),
  quantity INT,
  ts TIMESTAMP(3),
  country STRING
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/orders.csv',
  'format' = 'csv',
  'csv.null-literal' = ''
);

SELECT id, ts,
  DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm') AS a,
  EXTRACT(MINUTE FROM ts) AS b,
  FLOOR(ts TO HOUR) AS c,
  CEIL(ts TO MINUTE) AS d,
  TIMESTAMPADD(DAY, quantity, ts) AS e,
  TIMESTAMPDIFF(SECOND, TIMESTAMP '2021-03-14 08:00:00', ts) AS f,
  ts + INTERVAL '1:30' HOUR TO MINUTE AS g,
  CAST(ts AS DATE) AS h,
  CAST(ts AS TIME) AS i,
  CAST(ts AS STRING) AS j
FROM orders WHERE id <= 120;
