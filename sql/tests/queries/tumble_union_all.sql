-- stage 1
-- All rows of both inputs are in time, so the order in which they are read does not matter.

CREATE TABLE auction (
  id BIGINT,
  itemName VARCHAR,
  description VARCHAR,
  initialBid BIGINT,
  reserve BIGINT,
  `dateTime` TIMESTAMP(3),
  expires TIMESTAMP(3),
  seller BIGINT,
  category BIGINT,
  extra VARCHAR,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' HOUR
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/auction.csv',
  'format' = 'csv'
);

CREATE TABLE person (
  id BIGINT,
  name VARCHAR,
  emailAddress VARCHAR,
  creditCard VARCHAR,
  city VARCHAR,
  state VARCHAR,
  `dateTime` TIMESTAMP(3),
  extra VARCHAR,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' HOUR
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/person.csv',
  'format' = 'csv'
);

CREATE VIEW both_ AS
SELECT `dateTime` AS t, 'auction' AS kind, id FROM auction
UNION ALL
SELECT `dateTime`, 'person', id FROM person;
SELECT window_start, window_end, kind, COUNT(*) AS n, SUM(id) AS s
FROM TABLE(TUMBLE(TABLE both_, DESCRIPTOR(t), INTERVAL '30' SECOND))
GROUP BY window_start, window_end, kind;
