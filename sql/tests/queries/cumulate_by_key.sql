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

SELECT window_start, window_end, auction, COUNT(*) AS n, MAX(price) AS hi
FROM TABLE(CUMULATE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE))
GROUP BY auction, window_start, window_end;
