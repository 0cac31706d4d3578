-- stage 1
CREATE TABLE bid (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel VARCHAR,
  url VARCHAR,
  `dateTime` TIMESTAMP(3),
  extra VARCHAR,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/bid.csv',
  'format' = 'csv'
);

SELECT window_start, window_end,
  COUNT(*) FILTER (WHERE price < 10000) AS cheap,
  COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS medium,
  SUM(price) FILTER (WHERE channel LIKE 'channel-%') AS other,
  MAX(bidder) FILTER (WHERE price > 90000000) AS rare
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
