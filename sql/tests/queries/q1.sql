-- stage 1
CREATE TABLE bid (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel VARCHAR,
  url VARCHAR,
  `dateTime` TIMESTAMP(3),
  extra VARCHAR
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/bid.csv',
  'format' = 'csv'
);

SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid;
